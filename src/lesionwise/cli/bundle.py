"""`lesionwise bundle`: export, publish, benchmark, verify.

Not here: showing (`bundle_show`) and importing (`bundle_import`).
"""

from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Group
from rich.table import Table
from rich.text import Text

from lesionwise.cli import options
from lesionwise.cli.bundle_show import bundle_record
from lesionwise.cli.console import Display, print_note, print_result, show_work
from lesionwise.cli.options import argument, file_option, folder_option, option
from lesionwise.errors import require
from lesionwise.wording import counted

if TYPE_CHECKING:
    from lesionwise.predict.check import ClaimCheck
    from lesionwise.run_folder import RunFolder

_DRAWN = 35  # five of each diagnosis
_MOST_IMAGES = 200


def export(
    run: Annotated[Path, argument("RUN", "A run folder, or that of an ensemble.")],
    out: Annotated[
        Path | None,
        option(
            "--out", "File to write the bundle to; by default model.onnx in the run's folder.", metavar="FILE"
        ),
    ] = None,
    name: Annotated[str | None, option("--name", "Name of the model; by default that of its recipe.")] = None,
    precision: Annotated[
        Literal["fp32", "bf16", "fp16", "int8"],
        option(
            "--precision",
            "Number format in which the bundle computes by default. fp16 stores the weights in fp16 and "
            "computes in fp32. Every format but fp32 changes some answers.",
        ),
    ] = "fp32",
    licence: Annotated[
        str, option("--licence", "Licence of the weights, such as CC-BY-NC-4.0; by default that of the card.")
    ] = "",
    card: Annotated[
        Path | None,
        file_option(
            "--card",
            "Markdown file, such as the model card, that becomes part of the bundle; by default "
            "model_card.md in the run's folder.",
        ),
    ] = None,
) -> None:
    """Write a run or an ensemble as a bundle: one .onnx file, calibrated, that describes itself."""
    from lesionwise.bundle.publishing import licence_of_card
    from lesionwise.files import sole_writer
    from lesionwise.run_folder import open_run_folder, run_to_write

    opened, path = open_run_folder(run, "run", "ensemble"), out or run / "model.onnx"
    found = card or _card_of(opened)
    text = options.read_text(found) if found else ""
    licence = licence or licence_of_card(text)
    if found and not card:
        print_note(
            f"The bundle will contain the model card {found}. To leave it out, remove or rename the file."
        )
    require("torch")
    from lesionwise.export.run import export_run
    from lesionwise.training.loop.tracking import log_bundle, verify_tracked

    with run_to_write(run), sole_writer(path), show_work() as execution:
        tracked = verify_tracked(opened)
        bundle = export_run(
            opened, path, name=name, precision=precision, licence=licence, card=text, execution=execution
        )
        if tracked:
            log_bundle(opened, bundle)
    check = bundle.description.precision_check
    if check:
        print_note(
            f"{precision} changes the decision, diagnosis or prediction set of {check.changed} of "
            f"{counted(check.images, 'image')} of cal, and probabilities by up to "
            f"{check.largest_difference:.3f}. The scores on val were measured in {precision}. The bundle "
            "states no score on test, because test was read for fp32."
        )
    if bundle.description.stamp:
        print_note(f"{bundle.description.stamp}: this bundle will not be served.")
    print_result(f"Bundle: {bundle.path} ({len(bundle.content) / 1e6:.1f} MB)", bundle_record(bundle))


def _card_of(run: "RunFolder") -> Path | None:
    """Return the model card of a run; one that is older than the weights is left out, with a note."""
    card, weights = run.model_card, run.best
    if not card.is_file():
        return None
    if weights.is_file() and card.stat().st_mtime < weights.stat().st_mtime:
        print_note(
            f"The model card {card} is left out, because it is older than the weights. If it describes them, "
            "pass it with --card."
        )
        return None
    return card


def publish(
    source: Annotated[Path, argument("RUN|FILE", "A run folder with model.onnx, or a bundle.")],
    folder: Annotated[Path, argument("DIR", "Folder to make.")],
    licence_text: Annotated[
        Path | None,
        file_option(
            "--licence-text", "File with the text of the licence, if it is not a licence of Creative Commons."
        ),
    ] = None,
    page: Annotated[
        Path | None,
        folder_option(
            "--page",
            "Folder of npm's onnxruntime-web, such as node_modules/onnxruntime-web. With it, the command "
            "also writes the folder page, which runs the model on the visitor's own device.",
        ),
    ] = None,
    push: Annotated[
        str | None,
        option(
            "--push",
            "Repository of a model hub to which the hub's own client, with its token, uploads the folder; "
            "the page becomes a static space. A new repository is private at first.",
            metavar="OWNER/NAME",
        ),
    ] = None,
) -> None:
    """Write a folder for a model hub: bundle, card, licence, checksums. Only --push uploads it."""
    from lesionwise.bundle.hub import push as send
    from lesionwise.bundle.publishing import publish as lay_out
    from lesionwise.serve.device_page import device_page

    made = lay_out(
        source,
        folder,
        licence_text=licence_text,
        page=None if page is None else partial(device_page, package=page),
    )
    sent = send(made.folder, push) if push else ()
    then = f"Sent: {', '.join(sent)}." if sent else "Look through README.md, then upload the folder."
    print_result(
        f"{made.folder}: {', '.join(made.files)}. {then}",
        {"folder": str(made.folder), "files": list(made.files), "sha256": made.sha256, "sent": list(sent)},
    )


def benchmark(
    bundle: options.BundleArgument = None,
    images: Annotated[
        Path | None,
        folder_option(
            "--images", "Folder of images to predict, of which at most 200 are used; drawn images by default."
        ),
    ] = None,
    seconds: Annotated[
        float, option("--seconds", "Seconds that each row of the table is measured for.", min=0.0)
    ] = 1.0,
) -> None:
    """Measure how fast this machine answers with a bundle, and what each precision changes."""
    from dataclasses import asdict

    import numpy as np

    from lesionwise.bundle.benchmark import draw_images, measure_paces
    from lesionwise.bundle.engine import load_model
    from lesionwise.data.pictures import find_pictures
    from lesionwise.execution import processor_name, usable_cores

    engine = load_model(bundle)
    if images:
        pictures = islice(find_pictures([str(images)]), _MOST_IMAGES)
        pixels = np.stack([engine.read(picture.read()) for picture in pictures])
    else:
        pixels = draw_images(engine.description.input.size, _DRAWN)
    with Display() as display:
        paces = measure_paces(engine.bundle, pixels, seconds=seconds, progress=display)
    table = Table(box=None, pad_edge=False, title_justify="left")
    for title in ("runtime", "precision", "streams", "batch", "images/s", "changed", "largest difference"):
        table.add_column(title, justify="left" if title in {"runtime", "precision"} else "right")
    for pace in paces:
        numbers = f"{pace.images_per_s:.1f}", f"{pace.changed:.1%}", f"{pace.largest_difference:.1g}"
        table.add_row(pace.runtime, pace.precision, str(pace.streams), str(pace.batch), *numbers)
    measured_on = counted(len(pixels), "image" if images else "drawn image")
    machine = {"processor": processor_name(), "cores": usable_cores()}
    head = (
        f"{engine.description.name} on {machine['processor']}, {counted(usable_cores(), 'core')}. The "
        f"speeds exclude decoding. Changed: share of {measured_on} whose likeliest diagnosis differs from "
        "that of the first row."
        + (" Every image is looked at once." if engine.description.second_look else "")
    )
    value = {
        **machine,
        "model": engine.bundle.sha256,
        "images": len(pixels),
        "drawn": images is None,
        "paces": [asdict(pace) for pace in paces],
    }
    print_result(Group(Text(head), "", table), value)


def verify(
    data: Annotated[
        Path | None,
        folder_option(
            "--data", "Folder of the data that the model was tested on; without it, HAM10000 is downloaded."
        ),
    ] = None,
    model: options.ModelFile = None,
) -> None:
    """Run a model on the test images it names, and check each claimed score. Ends with 1 if one is wrong."""
    from lesionwise.bundle.engine import load_model
    from lesionwise.data.dataset import read_dataset
    from lesionwise.predict.check import check_claims

    engine = load_model(model)
    dataset = read_dataset(data or _download(), without_table=True)
    print_note(*dataset.about)
    found = check_claims(engine, dataset)
    width = 2 + max(len(row.score) for row in found.rows)
    narrow = 2 + max(len(row.diagnosis) for row in found.rows)
    lines = _describe_known(found) + [
        f"{'! ' if row.refuted else '  '}{row.score.replace('_', ' '):{width}}{row.diagnosis:{narrow}}"
        f"claimed {row.claimed:<9.4g} found {'nothing' if row.found is None else f'{row.found:.4g}'}"
        f"{f'   (not checked: needs {row.missing})' if row.missing else ''}"
        for row in found.rows
    ]
    value = {
        "model": engine.bundle.sha256,
        "confirmed": found.confirmed,
        "verdict": found.verdict(),
        "known": found.known,
        "rows": [row.to_json() for row in found.rows],
    }
    print_result("\n".join([*lines, found.verdict()]), value)
    if not found.confirmed:
        raise typer.Exit(1)


def _describe_known(found: "ClaimCheck") -> list[str]:
    """Return what the data state of the test images besides pictures, for a model that takes it."""
    if not found.known:
        return []
    counts = ", ".join(f"{name} for {count:,}" for name, count in found.known.items())
    lines = [f"The data state {counts} of {counted(found.images, 'test image')}."]
    if missing := " and ".join(found.missing_metadata):
        lines.append(
            f"The claim needs {missing}, which the data do not state. Without it, the model answers "
            "differently, so these rows are shown but not checked. Pass the folder with its metadata."
        )
    return lines


def _download() -> Path:
    """Return the folder of HAM10000 beside the image caches, filled where that was not done before."""
    from lesionwise.data.download.obtain import download_set
    from lesionwise.data.download.sources import Set
    from lesionwise.execution import default_cache_root

    folder = default_cache_root().parent / "ham10000"
    print_note(f"No --data was given: HAM10000 (2.8 GB) is downloaded to {folder}, unless it is there.")
    with Display() as display:
        download_set(Set.train, folder, progress=display)
    return folder
