"""A folder for a model hub: the bundle, its card with the header that hubs read, checksums, licence.

Here: what may be published, the files, and the spelling of licences. Not here: uploading (`hub`).
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from lesionwise.bundle.description import Description
from lesionwise.bundle.hub import MODEL, PAGE, SUMS
from lesionwise.bundle.load import Bundle, read_bundle
from lesionwise.errors import BundleError, RunError
from lesionwise.files import atomic_folder, file_sha256
from lesionwise.run_folder import open_run_folder

CARD: Final = "README.md"
LICENCE_FILE: Final = "LICENSE"
_CREATIVE_COMMONS: Final = re.compile(r"cc-(by|by-sa|by-nc|by-nd|by-nc-sa|by-nc-nd)-(4\.0)")
_HUB_ID: Final = re.compile(r"[a-z0-9][a-z0-9.+-]*")
CARD_HEADER: Final = re.compile(r"\A---\n.*?\n---\n+", re.DOTALL)
_LICENCE_LINE: Final = re.compile(r"^(license|license_name): (.+)$", re.MULTILINE)
_HUB_SCORES: Final = {
    "balanced_accuracy": "balanced_accuracy",
    "accuracy": "accuracy",
    "macro_auc": "roc_auc",
}
_TAGS: Final = ("dermatoscopy", "skin-lesion", "medical-imaging", "research-only", "onnx")

_HOW_TO: Final = """
## How to use this file

    pip install "lesionwise @ git+ADDRESS"    # ADDRESS of the repository of lesionwise
    lesionwise predict PHOTOGRAPHS --model {model} --out predictions.csv
    lesionwise serve --model {model}

    import lesionwise
    answers = lesionwise.load_model("{model}").predict(["photograph.jpg"])
    print(answers.probabilities, answers.decisions.decision)

It is one ONNX file that contains its own description: `lesionwise bundle show {model}`. `lesionwise bundle
verify --model {model}` computes its scores again. Its input `image` takes RGB images of {height} by {width}
pixels as bytes, shape (N, {height}, {width}, 3). Its outputs are {outputs}, with classes in the order
{classes}. {looks}`sha256sum --check {sums}` finds damaged copies.
"""
_LOOKS: Final = """The graph looks at an image once, while lesionwise also runs the mirror images of near
ties, for which thresholds and prediction sets hold. """
_CC_TEXT: Final = """{name}

The weights in this folder are licensed under the Creative Commons licence {spelled}.
To view a copy of this licence, visit https://creativecommons.org/licenses/{kind}/{version}/
or write to Creative Commons, PO Box 1866, Mountain View, CA 94042, USA.
Its text: https://creativecommons.org/licenses/{kind}/{version}/legalcode
"""


@dataclass(frozen=True)
class Publication:
    """A folder that is ready for a hub."""

    folder: Path
    files: tuple[str, ...]
    sha256: str


def publish(
    source: Path,
    folder: Path,
    *,
    licence_text: Path | None = None,
    page: Callable[[Bundle], Mapping[str, bytes]] | None = None,
) -> Publication:
    """Write the folder of a run or a bundle for a model hub.

    Args:
        source: A bundle, or a run folder whose `model.onnx` was exported from its present weights.
        folder: A new or empty folder; it is written completely or not at all.
        licence_text: File with the text of a licence that is not one of Creative Commons.
        page: Makes the files of a page that runs the bundle; they go into the folder `page`.

    Raises:
        BundleError: If the bundle is stamped as leaky, or lacks card, calibration or licence.
        RunError: If the run has no bundle, or one of other weights, or if the folder is not empty.
    """
    bundle = _bundle_of(source)
    verify_publishable(bundle)
    description = bundle.description
    files = {
        MODEL: bundle.content,
        CARD: _card(description).encode(),
        LICENCE_FILE: _licence_text(bundle, licence_text).encode(),
    }
    files[SUMS] = _sums(files)
    if page is not None:
        own = {**page(bundle), LICENCE_FILE: files[LICENCE_FILE]}
        files |= {f"{PAGE}/{name}": content for name, content in {**own, SUMS: _sums(own)}.items()}
    with atomic_folder(folder) as growing:
        for name, content in files.items():
            (growing / name).parent.mkdir(parents=True, exist_ok=True)
            (growing / name).write_bytes(content)
    return Publication(folder, tuple(files), bundle.sha256)


def verify_publishable(bundle: Bundle) -> None:
    """Refuse a bundle that a stranger could not judge, or would misjudge."""
    description = bundle.description
    if description.stamp:
        raise BundleError(
            f"{bundle.path}: {description.stamp}: it was trained on lesions that it was tested on, so it is "
            "not published. Train on a split by lesion and export that model."
        )
    lacking = {
        "calibration, so nobody knows what its probabilities mean": description.calibration is None,
        "card that states its purpose and its measurements": not description.card.strip(),
        "licence, and without one nobody may use it": not description.licence.strip(),
    }
    for thing, is_lacking in lacking.items():
        if is_lacking:
            raise BundleError(
                f"{bundle.path}: has no {thing}. "
                'Run "lesionwise report RUN --card --licence NAME", then "lesionwise bundle export RUN".'
            )


def _sums(files: Mapping[str, bytes]) -> bytes:
    return "".join(f"{sha256(content).hexdigest()}  {name}\n" for name, content in files.items()).encode()


def _bundle_of(source: Path) -> Bundle:
    if not source.is_dir():
        return read_bundle(source)
    run = open_run_folder(source, "run", "ensemble")
    path = source / MODEL
    if not path.is_file():
        raise RunError(
            f'{source}: has no {MODEL}. Run "lesionwise report {source} --card --licence NAME", then '
            f'"lesionwise bundle export {source}".'
        )
    bundle = read_bundle(path)
    made_of = bundle.description.provenance.checkpoints if bundle.description.provenance else ()
    if run.best.is_file() and file_sha256(run.best) not in made_of:
        raise RunError(
            f"{path}: was exported from other weights than this run has now. "
            f'Run "lesionwise bundle export {source}" again.'
        )
    return bundle


def _card(description: Description) -> str:
    """Return the card with a header made from the bundle itself, and instructions for its use."""
    words = CARD_HEADER.sub("", description.card).strip()
    how = _HOW_TO.format(
        model=MODEL,
        sums=SUMS,
        looks=_LOOKS if description.second_look else "",
        height=description.input.height,
        width=description.input.width,
        outputs=", ".join(f"`{name}`" for name in description.outputs),
        classes=", ".join(description.classes),
    )
    return f"---\n{_header(description)}---\n\n{words}\n{how}"


def _header(description: Description) -> str:
    """Return the YAML that model hubs read; strings are quoted as in JSON, which YAML contains."""
    part = next((part for part in ("test", "val") if part in description.scores), None)
    lines = [
        "library_name: lesionwise",
        "pipeline_tag: image-classification",
        *licence_lines(description.licence),
        "language: en",
        "tags:",
        *(f"- {tag}" for tag in _TAGS),
        "metrics:",
        *(f"- {name}" for name in _HUB_SCORES.values()),
    ]
    if part:
        overall = description.scores[part].overall
        split = f" of split {description.provenance.split_fingerprint[:12]}" if description.provenance else ""
        lines += [
            "model-index:",
            f"- name: {json.dumps(description.name)}",
            "  results:",
            "  - task:",
            "      type: image-classification",
            "    dataset:",
            f"      name: {json.dumps(f'{part} part{split}')}",
            "      type: dermatoscopy",
            "    metrics:",
        ]
        for ours, theirs in _HUB_SCORES.items():
            if ours in overall:
                lines += [f"    - type: {theirs}", f"      value: {overall[ours].value:.4f}"]
    return "".join(f"{line}\n" for line in lines)


def _licence_text(bundle: Bundle, given: Path | None) -> str:
    if given is not None:
        return given.read_text(encoding="utf-8")
    licence = bundle.description.licence
    found = creative_commons(licence)
    if not found:
        raise BundleError(
            f"{bundle.path}: has the licence {licence}, whose text lesionwise does not include. Pass it with "
            "--licence-text."
        )
    kind, version = found
    return _CC_TEXT.format(
        name=bundle.description.name, spelled=licence_in_words(licence), kind=kind, version=version
    )


def hub_id(licence: str) -> str:
    """Return a licence as hubs spell it.

    Example:
        >>> hub_id("CC BY-NC 4.0"), hub_id("CC-BY-NC-4.0")
        ('cc-by-nc-4.0', 'cc-by-nc-4.0')
    """
    return re.sub(r"\s+", "-", licence.strip().lower())


def creative_commons(licence: str) -> tuple[str, str] | None:
    """Return kind and version of a licence of Creative Commons, such as "by-nc" and "4.0"; else None."""
    found = _CREATIVE_COMMONS.fullmatch(hub_id(licence))
    return (found[1], found[2]) if found else None


def licence_in_words(licence: str) -> str:
    """Return a licence as people write it.

    Example:
        >>> licence_in_words("cc-by-nc-4.0"), licence_in_words("Our own, of 2026")
        ('CC BY-NC 4.0', 'Our own, of 2026')
    """
    found = creative_commons(licence)
    return f"CC {found[0].upper()} {found[1]}" if found else licence.strip()


def licence_of_card(card: str) -> str:
    r"""Return the licence that the header of a model card states; empty where it states none.

    Example:
        >>> licence_of_card("---\nlicense: cc-by-nc-4.0\n---\n"), licence_of_card("# A card")
        ('CC BY-NC 4.0', '')
    """
    header = CARD_HEADER.match(card)
    stated = dict(_LICENCE_LINE.findall(header[0])) if header else {}
    if "license_name" in stated:
        return str(json.loads(stated["license_name"]))
    return licence_in_words(stated.get("license", ""))


def licence_lines(licence: str) -> list[str]:
    """Return the lines of a hub's header; a licence that hubs have no name for is in `LICENCE_FILE`."""
    spelled = hub_id(licence)
    if _HUB_ID.fullmatch(spelled):
        return [f"license: {spelled}"]
    return ["license: other", f"license_name: {json.dumps(licence)}", f"license_link: {LICENCE_FILE}"]
