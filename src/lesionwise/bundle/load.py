"""Opening a bundle: every check comes before a runtime sees the file.

Here: the envelope (graph, description, checksum), sealing and opening it. Not here: running it (`engine`).

A bundle is an ONNX file with two metadata entries at its very end: `lesionwise`, the description, and
`lesionwise.sha256`, the SHA-256 of every byte before that entry. A cut, a flipped bit or an edited number is
found before foreign code parses anything. The checksum guards against accidents, not against malice:
`onnx_file.verify_self_contained` limits what a malicious file can do.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import as_file, files
from pathlib import Path
from typing import Final

from lesionwise.bundle.description import Description, parse_description
from lesionwise.bundle.hub import PREFIX, fetch
from lesionwise.bundle.onnx_file import (
    FLOAT,
    UINT8,
    Port,
    Ports,
    metadata_entry,
    read_metadata,
    verify_self_contained,
)
from lesionwise.bundle.texts import printable
from lesionwise.errors import BundleError
from lesionwise.files import atomic_path
from lesionwise.wording import did_you_mean

SHIPPED: Final = ("best", "larger")
"""Names of the bundles that ship with the package, the default first."""

KEY: Final = "lesionwise"
CHECKSUM_KEY: Final = "lesionwise.sha256"
MAX_BYTES: Final = 1 << 30  # the whole file is read into memory; VGG16 has 0.55 GB
MAX_DESCRIPTION_BYTES: Final = 1 << 20
_CHECKSUM_BYTES: Final = len(metadata_entry(CHECKSUM_KEY, b"0" * 64))


@dataclass(frozen=True)
class Bundle:
    """A file that was checked."""

    path: Path
    content: bytes
    sha256: str
    description: Description


def seal(graph: bytes, description: Description) -> bytes:
    """Return the content of a bundle file. `graph`: an ONNX file without the two entries."""
    content = graph + metadata_entry(KEY, description.model_dump_json(exclude_none=True).encode())
    return content + metadata_entry(CHECKSUM_KEY, sha256(content).hexdigest().encode())


def read_bundle(path: str | Path | None = None) -> Bundle:
    """Read a bundle and check all that can be checked without running it.

    Args:
        path: The file; or the name of an included bundle, unless there is a file of that name; or
            `hub:owner/name@revision`, one at a model hub. Left out, it is `best`.

    Raises:
        BundleError: If it cannot be read, is damaged, foreign, of a newer schema, or needs other files.
    """
    if path is None or (str(path) in SHIPPED and not Path(path).is_file()):
        with as_file(files("lesionwise") / "weights" / f"{path or SHIPPED[0]}.onnx") as shipped:
            return read_bundle(shipped)
    path = fetch(str(path)) if str(path).startswith(PREFIX) else Path(path)
    verify_bundle_path(path)
    if not path.is_file():
        found = "a folder" if path.is_dir() else "a device or a pipe"
        raise BundleError(f"{path}: expected a bundle, which is one file, but this is {found}.")
    if path.stat().st_size > MAX_BYTES:
        raise BundleError(f"{path}: is larger than {MAX_BYTES >> 20} MB, the most that a bundle may have.")
    try:
        return _checked(path, path.read_bytes())
    except OSError as error:
        raise BundleError(f"{path}: cannot be read: {error.strerror}.") from error


def verify_bundle_path(path: Path) -> None:
    """Make sure that a bundle exists, or that a model of that name is included."""
    if str(path) not in SHIPPED and not str(path).startswith(PREFIX) and not path.exists():
        raise BundleError(
            f"{path}: expected a bundle, or an included model ({', '.join(SHIPPED)}), but there is "
            f"no such file.{did_you_mean(str(path), SHIPPED)}"
        )


def open_content(content: bytes) -> Description:
    """Check the content of a bundle file, and return its description."""
    entries = read_metadata(content)
    ours = [value for key, value in entries if key == KEY]
    if not ours:
        raise BundleError(
            "is not a lesionwise bundle: it has no description of itself. "
            'Run "lesionwise bundle import" to convert it'
        )
    if len(ours) > 1:
        raise BundleError("has more than one description")
    if len(ours[0]) > MAX_DESCRIPTION_BYTES:
        raise BundleError(
            f"has a description of more than {MAX_DESCRIPTION_BYTES:,} bytes, which is too long"
        )
    body, end = content[:-_CHECKSUM_BYTES], content[-_CHECKSUM_BYTES:]
    if end != metadata_entry(CHECKSUM_KEY, sha256(body).hexdigest().encode()):
        raise BundleError(
            "is damaged or was changed after its export: its checksum does not fit. Copy it again"
        )
    description = parse_description(bytes(ours[0]))
    _verify_ports(verify_self_contained(content), description)
    return description


def assemble(content: bytes, description: Description, path: Path) -> Bundle:
    """Return a bundle that is not written yet, checked as a reader would check it."""
    return _checked(path, seal(content, description))


def _checked(path: Path, content: bytes) -> Bundle:
    try:
        return Bundle(path, content, sha256(content).hexdigest(), open_content(content))
    except BundleError as error:
        raise BundleError(f"{path}: {error}.") from error


def verify_writable(path: Path) -> None:
    """Make sure that a bundle can be written to a path, before the work starts."""
    if path.is_dir():
        raise BundleError(f"{path}: expected --out to name a file but it is a folder.")


def write_bundle(bundle: Bundle) -> None:
    """Write a bundle to its path, whole or not at all."""
    with atomic_path(bundle.path) as temporary:
        temporary.write_bytes(bundle.content)


def verify_servable(bundle: Bundle) -> None:
    """Refuse a bundle whose scores are misleading."""
    stamp = bundle.description.stamp
    if stamp:
        raise BundleError(
            f"{bundle.path}: {stamp}: it was trained on lesions that it was tested on, so nobody knows how "
            'good it is. It is not served. Train on a split by lesion ("lesionwise data split") and export '
            "that model."
        )


def verify_pinned(bundle: Bundle, sha256: str) -> None:
    """Make sure that a bundle has the expected SHA-256 (all 64 digits)."""
    if bundle.sha256 != sha256.strip().lower():
        raise BundleError(
            f"{bundle.path}: expected the SHA-256 {sha256.strip()} but found {bundle.sha256}. "
            "Pass the file that you mean, or its hash."
        )


def _in_words(inputs: Mapping[str, Port]) -> str:
    return ", ".join(f"the input {printable(name)}: {port}" for name, port in inputs.items()) or "no input"


def _verify_ports(ports: Ports, description: Description) -> None:
    """Make sure that the graph takes and gives what the description says."""
    image = Port(UINT8, (None, *description.input.size, 3))
    expected_inputs = {"image": image}
    if description.metadata is not None:
        expected_inputs["metadata"] = Port(FLOAT, (None, description.metadata.length))
    if ports.inputs != expected_inputs:
        raise BundleError(f"expected {_in_words(expected_inputs)} but found {_in_words(ports.inputs)}")
    if tuple(ports.outputs) != description.outputs:
        raise BundleError(f"expected the outputs {description.outputs} but found {tuple(ports.outputs)}")
    classes = len(description.classes)
    sides = {"embedding": (None,), "ood_score": (), "cam": (classes, None, None)}
    for name, port in ports.outputs.items():
        expected = (None, *sides.get(name, (classes,)))  # None: any length
        fits = len(port.sides) == len(expected) and all(
            there == wanted for there, wanted in zip(port.sides, expected, strict=True) if wanted
        )
        if port.kind != FLOAT or not fits:
            raise BundleError(f"has an output {name} with an unexpected shape or type: {port}")
