"""`lesionwise bundle export`, `show` and `import`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Group
from rich.table import Table
from rich.text import Text

from lesionwise.cli.console import print_note, print_result
from lesionwise.cli.extras import require
from lesionwise.cli.options import Json, Quiet, complete_model, read_text, verify_model
from lesionwise.errors import LesionwiseError
from lesionwise.wording import counted

if TYPE_CHECKING:
    from lesionwise.bundle.description import Description
    from lesionwise.bundle.load import Bundle
    from lesionwise.evaluation.calibration.record import Calibration

Precision = Literal["fp32", "bf16"]
Run = Annotated[Path, typer.Argument(help="A run folder, or that of an ensemble.", metavar="RUN")]
File = Annotated[
    Path | None,
    typer.Argument(
        help="A bundle, or one that ships: best (the default), larger.",
        metavar="FILE",
        callback=verify_model,
        autocompletion=complete_model,
    ),
]
OutFile = Annotated[
    Path | None,
    typer.Option(
        "--out",
        help="File to write the bundle to; by default model.onnx in the run's folder.",
        metavar="FILE",
    ),
]
Name = Annotated[str | None, typer.Option("--name", help="Name of the model; by default that of its recipe.")]
Licence = Annotated[str, typer.Option("--licence", help="Licence of the weights, such as CC-BY-NC-4.0.")]
Card = Annotated[
    Path | None,
    typer.Option(
        "--card",
        help="Markdown file with what a reader must know, such as the model card; it becomes part of the "
        "bundle.",
    ),
]
PrecisionOption = Annotated[
    Literal["fp32", "bf16", "fp16", "int8"],
    typer.Option(
        "--precision",
        help="Number format to compute in; bf16 is quicker on some processors. fp16 stores weights in it "
        "and computes "
        "in fp32; int8 is smaller still. All three change answers.",
    ),
]


def export(
    run: Run,
    out: OutFile = None,
    name: Name = None,
    precision: PrecisionOption = "fp32",
    licence: Licence = "",
    card: Card = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write a run or an ensemble as a bundle: one .onnx file, calibrated, that describes itself."""
    from lesionwise.run_folder import open_run_folder

    opened = open_run_folder(run, "run", "ensemble")
    text = read_text(card) if card else ""
    require("torch")
    from lesionwise.export.run import export_run

    bundle = export_run(
        opened,
        out or opened.path / "model.onnx",
        name=name,
        precision=precision,
        licence=licence,
        card=text,
    )
    check = bundle.description.precision_check
    if check:
        print_note(
            f"{precision} changes the decision, diagnosis or set of {check.changed} of {check.images} images "
            f"of cal; probabilities by up to {check.largest_difference:.3f}. Scores on val are its "
            "own; it claims none on test, which was read for fp32.",
            quiet=quiet,
        )
    _note_stamp(bundle, quiet=quiet)
    print_result(f"Bundle: {bundle.path} ({len(bundle.content) / 1e6:.1f} MB)", _record(bundle), as_json=json)


def show(
    path: File = None,
    against: Annotated[
        Path | None,
        typer.Option("--against", help="An older bundle: show only what moved since.", metavar="FILE"),
    ] = None,
    json: Json = False,
) -> None:
    """Check a model file, and show what it states: scores, calibration, data, licence, card."""
    from lesionwise.bundle.load import read_bundle
    from lesionwise.bundle.moved import moved_claims

    bundle = read_bundle(path)
    if against is not None:
        moved = moved_claims(read_bundle(against).description, bundle.description)
        lines = [f"{row.claim}: {row.old} → {row.new}" for row in moved] or ["Nothing moved."]
        print_result("\n".join(lines), {"moved": [row._asdict() for row in moved]}, as_json=json)
        return
    print_result(_describe(bundle), _record(bundle), as_json=json)


def import_(
    path: Annotated[Path, typer.Argument(help="A .onnx, .keras or .h5 file.", metavar="MODEL")],
    out: Annotated[Path, typer.Option("--out", help="File to write the bundle to.", metavar="FILE")],
    classes: Annotated[
        str,
        typer.Option(
            "--classes",
            help="Codes of the diagnoses in the order of the model's outputs, such as nv,mel,bkl,….",
        ),
    ],
    gives: Annotated[
        Literal["probabilities", "logits"], typer.Option("--gives", help="What the model's output is.")
    ],
    divide: Annotated[
        float, typer.Option("--divide", help="Number that pixels from 0 to 255 are divided by first.")
    ],
    mean: Annotated[
        str, typer.Option("--mean", help="Number that is then subtracted, or three as R,G,B; 0 for none.")
    ],
    std: Annotated[
        str,
        typer.Option("--std", help="Number that pixels are divided by last, or three as R,G,B; 1 for none."),
    ],
    channels: Annotated[
        Literal["rgb", "bgr"], typer.Option("--channels", help="Order of the colours that the model expects.")
    ],
    size: Annotated[
        str | None, typer.Option("--size", help="Height x width in pixels, where the file leaves them open.")
    ] = None,
    name: Name = None,
    licence: Licence = "",
    json: Json = False,
) -> None:
    """Make a bundle of somebody else's model; state what its file does not say."""
    from lesionwise.export.foreign import Told, import_model

    told = Told(
        classes=tuple(code.strip() for code in classes.split(",")),
        gives=gives,
        divide=divide,
        mean=_three(mean, "--mean"),
        std=_three(std, "--std"),
        channels=channels,
        size=_size(size) if size else None,
    )
    bundle = import_model(path, out, told, name=name or path.stem, licence=licence)
    print_result(
        f"Bundle: {bundle.path} ({len(bundle.content) / 1e6:.1f} MB), uncalibrated",
        _record(bundle),
        as_json=json,
    )


def _three(text: str, option: str) -> tuple[float, float, float]:
    try:
        values = [float(number) for number in text.split(",")]
    except ValueError:
        values = []
    if len(values) not in (1, 3):
        raise LesionwiseError(f'Expected {option} to be a number or three, as R,G,B, but got "{text}".')
    red, green, blue = values if len(values) > 1 else values * 3
    return red, green, blue


def _size(text: str) -> tuple[int, int]:
    height, _, width = text.partition("x")
    if not (height.isdecimal() and width.isdecimal()):
        raise LesionwiseError(f'Expected --size to be height x width, such as 75x100, but got "{text}".')
    return int(height), int(width)


def _record(bundle: "Bundle") -> dict[str, Any]:
    return {
        "path": str(bundle.path),
        "bytes": len(bundle.content),
        "sha256": bundle.sha256,
        "description": bundle.description.model_dump(mode="json"),
    }


def _note_stamp(bundle: "Bundle", *, quiet: bool) -> None:
    if bundle.description.stamp:
        print_note(f"{bundle.description.stamp}: this bundle will not be served.", quiet=quiet)


def _describe(bundle: "Bundle") -> Group:
    description = bundle.description
    facts = Table(show_header=False, box=None, pad_edge=False)
    facts.add_column(style="bold", no_wrap=True)
    facts.add_column(overflow="fold")
    for title, value in _facts(bundle).items():
        facts.add_row(title, Text(value))
    parts: list[Any] = [facts]
    if description.stamp:
        warning = f"{description.stamp}: its scores mean nothing, and it is not served."
        parts.insert(0, Text(warning, style="bold red"))
    if description.scores:
        parts += ["", _score_table(description)]
    if description.card:
        parts += ["", Text(description.card.strip())]
    return Group(*parts)


def _facts(bundle: "Bundle") -> dict[str, str]:
    said = bundle.description
    made = said.provenance
    check = said.precision_check
    reading = f"{said.input.height}x{said.input.width} px by {'+'.join((said.input.rule, *said.input.steps))}"
    facts = {
        "model": f"{said.name} ({said.origin}, {len(bundle.content) / 1e6:.1f} MB)",
        "sha256": bundle.sha256,
        "exported": f"{said.created} by lesionwise {said.package_version}",
        "licence": said.licence or "not stated",
        "image": reading,
        "outputs": ", ".join(said.outputs),
        "precision": said.precision
        + (f" ({check.changed} of {check.images} decisions on cal changed)" if check else ""),
        **_calibration_facts(said.calibration),
    }
    if made:
        counts = f"{counted(made.images, 'image')} of {counted(made.lesions, 'lesion')}"
        facts["data"] = f"{counts}, {made.data_fingerprint[:12]}"
        facts["split"] = made.split_fingerprint[:12]
    return facts


def _calibration_facts(calibration: "Calibration | None") -> dict[str, str]:
    if calibration is None:
        return {"calibration": "none: probabilities are as sure of themselves as training made them"}
    sets = calibration.prediction_sets
    unpromised = [code for code, found in sets.classes.items() if isinstance(found.quantile, str)]
    points = [
        f"{point.question} from {point.threshold:.3f} ({point.aim} {100 * point.at_least:g}%)"
        for point in calibration.operating_points
        if not isinstance(point.threshold, str)
    ]
    return {
        "calibration": f"{calibration.scaling.method}, on {counted(calibration.lesions, 'lesion')}",
        "sets": f"{sets.rule}, {100 * sets.coverage:g}% of each diagnosis"
        + (f" (no promise for {', '.join(unpromised)})" if unpromised else ""),
        "thresholds": "; ".join(points) or "none",
    }


def _score_table(description: "Description") -> Table:
    table = Table(box=None, pad_edge=False, title_justify="left")
    table.add_column("score, 95 % interval")
    for part, scores in description.scores.items():
        table.add_column(f"{part}: {counted(scores.images, 'image')} of {counted(scores.lesions, 'lesion')}")
    for name in ("balanced_accuracy", "accuracy", "macro_auc", "log_loss", "ece"):
        cells = [scores.overall.get(name) for scores in description.scores.values()]
        table.add_row(name.replace("_", " "), *(str(cell) if cell else "" for cell in cells))
    return table
