"""`lesionwise predict`."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lesionwise.cli.bundle import Precision
from lesionwise.cli.console import Display, print_note, print_result
from lesionwise.cli.options import EngineName, EngineOption, Json, ModelFile, Quiet, Resume, Workers
from lesionwise.errors import LesionwiseError
from lesionwise.names import image_id_of
from lesionwise.wording import counted

if TYPE_CHECKING:
    from collections.abc import Callable

    from lesionwise.predict.files import Tally
    from lesionwise.predict.metadata import MetadataTable
    from lesionwise.predict.sources import Pictures

_SOME_FAILED = 1
_FINISHED = "{}: is finished; nothing is left to do. Leave --resume out to predict anew."


Places = Annotated[
    list[str],
    typer.Argument(
        help="Files, folders, patterns, zips, CSVs with a column path, or addresses as s3://bucket/folder.",
        metavar="PATH...",
    ),
]
OutFile = Annotated[
    Path, typer.Option("--out", help="Table to write: FILE.csv or FILE.parquet.", metavar="FILE")
]
ErrorsFile = Annotated[
    Path | None,
    typer.Option(
        "--errors", help="Table of the images that cannot be read; beside --out by default.", metavar="FILE"
    ),
]
FormatOption = Annotated[
    Literal["lesionwise", "isic"],
    typer.Option(
        "--format", help="Columns of the table: those of lesionwise, or those of the ISIC challenge."
    ),
]
Heatmaps = Annotated[
    Path | None,
    typer.Option("--heatmaps", help="Draw what the model looked at over each image, as PNGs.", metavar="DIR"),
]
PrecisionOption = Annotated[
    Precision | None,
    typer.Option(
        "--precision",
        help="Number format to compute in; by default the one that the bundle states. bf16 is quicker on "
        "some processors.",
    ),
]
MetadataFile = Annotated[
    Path | None,
    typer.Option(
        "--metadata",
        help="A CSV of image_id or path with age, sex, localization, for a model that takes them.",
        metavar="FILE",
    ),
]
Tta = Annotated[
    bool, typer.Option("--tta", help="Average over mirrored and turned views of each image, which is slower.")
]


def predict(
    places: Places,
    out: OutFile,
    model: ModelFile = None,
    errors: ErrorsFile = None,
    format_: FormatOption = "lesionwise",
    tta: Tta = False,
    metadata: MetadataFile = None,
    heatmaps: Heatmaps = None,
    precision: PrecisionOption = None,
    workers: Workers = None,
    engine: EngineOption = "local",
    resume: Resume = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Predict images with a model file. Images that cannot be read are listed; the others are predicted."""
    from lesionwise.bundle.engine import load_model
    from lesionwise.data.workspace import usable_cores
    from lesionwise.predict.files import Output
    from lesionwise.predict.heatmaps import HeatmapWriter
    from lesionwise.predict.metadata import read_metadata_table
    from lesionwise.predict.sources import find_pictures, verify_places
    from lesionwise.predict.stored import PARQUET, verify_arrow, verify_made_by, write_parquet

    errors = errors or out.parent / f"{out.stem}-errors.csv"
    _verify_names(places, out, errors, model=model, metadata=metadata)
    verify_places(places)
    work = _choose_work(engine, workers, heatmaps, metadata)
    answers = load_model(model, streams=usable_cores(), precision=precision)
    if answers.description.stamp:
        print_note(f"{answers.description.stamp}: do not trust the scores of this model.", quiet=quiet)
    columnar = out.suffix == PARQUET
    table = out.with_name(f"{out.name}.rows") if columnar else out
    if columnar:
        verify_arrow()
        if resume and out.exists() and not table.with_name(f"{table.name}.part").exists():
            verify_made_by(out, answers.bundle.sha256)
            print_result(_FINISHED.format(out), {"out": str(out), "predicted": 0}, as_json=json)
            return
    known = read_metadata_table(metadata, answers) if metadata else None
    pictures = find_pictures(places)  # what is missing is found before the work
    if format_ == "isic":
        _verify_bare_ids(pictures)
    if metadata and known:
        _report_known(metadata, known, pictures, quiet=quiet)
    drawn = HeatmapWriter(answers, heatmaps) if heatmaps else None
    with Display(quiet=quiet) as display:
        tally = work(
            answers,
            pictures,
            Output(table, errors, format_, resume=resume, on_answers=drawn),
            tta=tta,
            on_done=lambda done: display.on_work("predicting images", done, len(pictures)),
            **({"metadata": known} if known else {}),
        )
    if columnar:
        write_parquet(table, out)
        table.unlink()
    _report(tally, out, errors, as_json=json)
    if tally.failed:
        raise typer.Exit(_SOME_FAILED)


def _choose_work(
    engine: EngineName, workers: int | None, heatmaps: Path | None, metadata: Path | None
) -> "Callable[..., Tally]":
    """Return the pipeline of this process, or that of a cluster."""
    if engine == "local":
        from lesionwise.predict.files import predict_files

        return partial(predict_files, workers=workers)
    for option, given in (("--heatmaps", heatmaps), ("--workers", workers), ("--metadata", metadata)):
        if given:
            raise LesionwiseError(f"{option} is for --engine local; leave one of the two out.")
    from lesionwise.predict.ray import predict_with_ray

    return predict_with_ray


def _report_known(metadata: Path, table: "MetadataTable", pictures: "Pictures", *, quiet: bool) -> None:
    """Say how many images the table has a row for; none is a mistake."""
    known = sum(table.knows(picture) for picture in pictures)
    if not known:
        first = next(iter(pictures))
        theirs = next(iter(table.places), "no row")
        ours = first.path if table.key == "path" else first.image_id
        raise LesionwiseError(
            f"{metadata}: has a row for none of the {len(pictures)} images: it names {theirs}, and the first "
            f"image is {ours}. Check that the ids match."
        )
    print_note(f"{metadata}: has a row for {known} of {len(pictures)} images.", quiet=quiet)


def _verify_bare_ids(pictures: "Pictures") -> None:
    """Make sure that the file's name alone tells the images apart: the challenge's format has no paths."""
    for picture in pictures:
        if not picture.named and picture.image_id != image_id_of(picture.image_id):
            raise LesionwiseError(
                f"{picture.path}: expected one image of each name for --format isic, whose ids are bare, but "
                f"several are called {image_id_of(picture.image_id)}. Leave the others out, or name ids in a "
                "CSV of image_id and path."
            )


def _verify_names(
    places: list[str], out: Path, errors: Path, *, model: Path | None, metadata: Path | None
) -> None:
    """Make sure that no result takes the place of what is read, or of the other one."""
    for option, path in (("--out", out), ("--errors", errors), ("--model", model), ("--metadata", metadata)):
        if path and path.is_dir():
            raise LesionwiseError(f"{path}: expected {option} to name a file but it is a folder.")
    if out.resolve() == errors.resolve():
        raise LesionwiseError(f"{out}: expected --out and --errors to name two files.")
    read = {Path(name).resolve() for name in (*places, model, metadata) if name}
    for option, path in (("--out", out), ("--errors", errors)):
        if path.resolve() in read:
            raise LesionwiseError(f"{path}: is read; expected {option} to name another file.")


def _report(tally: "Tally", out: Path, errors: Path, *, as_json: bool) -> None:
    kept = f", {tally.kept} kept from before" if tally.kept else ""
    repeated = f", {tally.repeated} named again and left out" if tally.repeated else ""
    failed = f"; {tally.failed} could not be predicted: {errors}" if tally.failed else ""
    if tally.kept and not (tally.predicted or tally.failed):
        text = f"{_FINISHED.format(out)} All {tally.kept} images are in it."
    else:
        text = f"Predicted {counted(tally.predicted, 'image')}{kept}{repeated}: {out}{failed}"
    print_result(
        text,
        {
            "out": str(out),
            "predicted": tally.predicted,
            "kept": tally.kept,
            "repeated": tally.repeated,
            "failed": tally.failed,
            "errors": str(errors) if tally.failed else None,
        },
        as_json=as_json,
    )
