"""`lesionwise predict`."""

import shlex
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lesionwise.cli import options
from lesionwise.cli.console import Display, print_note, print_result, prints_json
from lesionwise.cli.gallery import OptionalGallery
from lesionwise.cli.options import argument, file_option, option
from lesionwise.errors import DataError, LesionwiseError, require
from lesionwise.names import image_id_of
from lesionwise.wording import counted, did_you_mean, listed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from lesionwise.bundle.engine import Engine
    from lesionwise.data.metadata import Record
    from lesionwise.data.pictures import Pictures
    from lesionwise.predict.files import Output, Tally
    from lesionwise.predict.metadata import MetadataTable
    from lesionwise.predict.similar import SimilarFinder

_SUFFIXES = (".csv", ".parquet")
_OPTIONS = {"age": "--age", "sex": "--sex", "localization": "--site"}
_FINISHED = "{}: is finished and holds {}. Nothing is left to do. Leave --resume out to predict again."


def predict(
    places: Annotated[
        list[str],
        argument(
            "PATH...",
            "Files, folders, patterns, zips, tables with a column path, or addresses as s3://bucket/folder.",
        ),
    ],
    out: Annotated[
        Path | None,
        option(
            "--out",
            "Table to write: FILE.csv or FILE.parquet; without it the answers are printed.",
            metavar="FILE",
        ),
    ] = None,
    model: options.ModelFile = None,
    age: Annotated[
        float | None, option("--age", "Age in years, if known; it is used for all images.")
    ] = None,
    sex: Annotated[
        str | None,
        option("--sex", "Sex, female or male, if known; it is used for all images.", metavar="SEX"),
    ] = None,
    site: Annotated[
        str | None,
        option(
            "--site",
            "Site of the lesion, such as back or face, if known; it is used for all images.",
            metavar="SITE",
        ),
    ] = None,
    metadata: Annotated[
        Path | None,
        file_option(
            "--metadata",
            "A table of image ids or paths with age, sex, localization, for a model that takes them.",
        ),
    ] = None,
    errors: Annotated[
        Path | None,
        option(
            "--errors", "Table of the images that cannot be read; beside --out by default.", metavar="FILE"
        ),
    ] = None,
    format_: Annotated[
        Literal["lesionwise", "isic"],
        option("--format", "Columns of the table: those of lesionwise, or those of the ISIC challenge."),
    ] = "lesionwise",
    tta: Annotated[
        bool, option("--tta", "Average over mirrored and turned views of each image, which is slower.")
    ] = False,
    heatmaps: Annotated[
        Path | None,
        option("--heatmaps", "Folder for PNGs that show where the model looked.", metavar="DIR"),
    ] = None,
    gallery: OptionalGallery = None,
    similar: Annotated[
        int | None, option("--similar", "With --gallery: number of similar lesions; 5 by default.", min=1)
    ] = None,
    precision: options.PrecisionOption = None,
    workers: options.Workers = None,
    engine: options.EngineOption = "local",
    resume: options.Resume = False,
) -> None:
    """Predict images with a model file, and print the answers or write a table with --out.

    Images that cannot be read are listed; the others are predicted.
    """
    errors_file = errors or (out and out.parent / f"{out.stem}-errors.csv")
    _verify_names(places, out, errors_file, model=model, metadata=metadata, heatmaps=heatmaps)
    from lesionwise.data.pictures import find_pictures, verify_places

    verify_places(places)
    given: dict[str, str | float | None] = {"age": age, "sex": sex, "localization": site}
    record = {name: value for name, value in given.items() if value is not None}
    if out is None:
        printed = {"--errors": errors, "--format isic": format_ == "isic", "--resume": resume}
        _refuse(printed, "is for a table. Add --out FILE.csv, or leave it out.")
    _refuse({"--similar": gallery is None and similar}, "needs --gallery. Add it, or leave it out.")
    _refuse({"--gallery": format_ == "isic" and gallery}, "is not for the columns of --format isic.")
    if engine == "ray":
        local = {"--heatmaps": heatmaps, "--workers": workers, "--metadata": metadata, "--gallery": gallery}
        local |= {_OPTIONS[name]: True for name in record}
        _refuse(local, "is for --engine local; leave one of the two out.")
        _refuse({"--engine ray": out is None}, "writes a table. Add --out FILE.csv.")
    _verify_record(record, model)
    from lesionwise.bundle.engine import load_model
    from lesionwise.bundle.rendering import DISCLAIMER, warnings_about
    from lesionwise.execution import usable_cores
    from lesionwise.predict.metadata import read_metadata_table, same_for_all
    from lesionwise.predict.writing import HeatmapWriter, absolute_path

    loaded = load_model(model, streams=usable_cores(), precision=precision)
    print_note(*warnings_about(loaded.description))
    known = read_metadata_table(metadata, loaded) if metadata else None
    known = same_for_all(record, loaded, known) if record else known  # for images without a row
    pictures = find_pictures(places)  # what is missing is found before the work
    if metadata and known:
        _report_known(metadata, known, pictures)
    if not known:
        _note_unused(loaded, places)
    drawn = HeatmapWriter(loaded, heatmaps) if heatmaps else None
    finder = _similar_finder(gallery, loaded, similar) if gallery else None
    if out is None or errors_file is None:
        from lesionwise.cli.answers import print_answers

        tally = print_answers(
            loaded,
            pictures,
            {"tta": tta, "metadata": known, "workers": workers},
            on_answers=drawn,
            similar=finder,
        )
    else:
        from lesionwise.predict.files import Output, predict_files
        from lesionwise.predict.ray import predict_with_ray

        # The challenge's format has no paths, so images are known by what was asked for.
        asked = {"PATH": [absolute_path(place) for place in places]} if format_ == "isic" else {}
        output = Output(
            out, errors_file, format_, resume=resume, on_answers=drawn, similar=finder, settings=asked
        )
        work: Callable[..., Tally] = predict_with_ray
        if engine == "local":
            work = partial(predict_files, workers=workers, metadata=known)
        tally = _write(loaded, pictures, output, partial(work, tta=tta))
    if not prints_json():
        print_note(*([] if out else [DISCLAIMER]), f"Computed in {loaded.computed_in}.")
    if tally.failed:
        raise typer.Exit(1)


def _write(engine: "Engine", pictures: "Pictures", output: "Output", work: "Callable[..., Tally]") -> "Tally":
    """Write the answers to a table, and report what was written."""
    if output.format_ == "isic":
        _verify_bare_ids(pictures)
    with _written_table(output) as opened, Display() as display:

        def show(done: int) -> None:
            display.on_work("predicting images", done, len(pictures))

        tally = work(engine, pictures, opened, on_done=show)
    _report(tally, output, engine.precision)
    return tally


@contextmanager
def _written_table(output: "Output") -> "Iterator[Output]":
    """Give where rows go until all are there; a Parquet file is packed at the end."""
    from dataclasses import replace

    from lesionwise.files import sole_writer
    from lesionwise.predict.parquet import pack, remove, unpack
    from lesionwise.predict.writing import part_path, verify_record
    from lesionwise.tables import PARQUET

    out = output.table
    verify_record(out)
    if out.suffix.lower() != PARQUET:
        yield output
        return
    table = out.with_name(f"{out.name}.rows")
    with ExitStack() as held:
        held.enter_context(sole_writer(out))
        if output.resume and out.exists() and not (table.exists() or part_path(table).exists()):
            held.callback(remove, table)
            unpack(out, table)
        yield replace(output, table=table)
        pack(table, out)


def _refuse(given: "Mapping[str, object]", why: str) -> None:
    """Refuse the first option that was given."""
    for name, value in given.items():
        if value:
            raise LesionwiseError(f"{name} {why}")


def _similar_finder(gallery: Path, engine: "Engine", count: int | None) -> "SimilarFinder":
    from lesionwise.gallery.gallery import COUNT, load_gallery
    from lesionwise.predict.similar import SimilarFinder

    opened = load_gallery(gallery, engine)
    print_note(*opened.advice)
    return SimilarFinder(opened, count or COUNT)


def _verify_record(record: "Record", model: Path | None) -> None:
    """Make sure that a model takes what was given; a typo must not wait for the runtime."""
    if not record:
        return
    from lesionwise.bundle.load import read_bundle

    description = read_bundle(model).description
    encoding = description.metadata
    for name, value in record.items():
        option = _OPTIONS[name]
        if encoding is None or name not in encoding.names:
            takes = f"it takes {listed(encoding.names)}" if encoding else "it takes images alone"
            raise DataError(f"{option}: {description.name} does not use it: {takes}. Leave it out.")
        own = next(field for field in encoding.fields if field.name == name)
        if own.encode(value) is None:
            near = did_you_mean(str(value), getattr(own, "words", ()))
            raise DataError(f'Expected {option} to be {own.expected} but got "{value}".{near}')


def _note_unused(engine: "Engine", places: list[str]) -> None:
    """Say what the model takes besides images, if the user gave none of it."""
    encoding = engine.description.metadata
    if encoding is None:
        return
    from lesionwise.tables import SUFFIXES, read_table

    for place in places:
        if Path(place).suffix.lower() in SUFFIXES and Path(place).is_file():
            columns = read_table(Path(place)).names
            unused = [columns[name] for name in encoding.names if name in columns]
            if unused:
                way = f"To use them, add --metadata {shlex.quote(place)}."
                print_note(f"{place}: has {listed(unused)}, which were not used. {way}")
                return
    names = [_OPTIONS[name].removeprefix("--") for name in encoding.names]
    print_note(
        f"{engine.description.name} also takes {listed(names)}, and is more accurate with them. Pass "
        f"{listed([_OPTIONS[name] for name in encoding.names])}, or for many images --metadata FILE."
    )


def _report_known(metadata: Path, table: "MetadataTable", pictures: "Pictures") -> None:
    """Say how many images the table has a row for; none is a mistake."""
    known = sum(table.knows(picture) for picture in pictures)
    if not known:
        first = next(iter(pictures))
        theirs = next(iter(table.places), "no row")
        ours = first.path if table.key == "path" else first.image_id
        raise LesionwiseError(
            f"{metadata}: has no row for any of the {counted(len(pictures), 'image')}: it names {theirs}, "
            f"and the first image is {ours}. Check that the ids match."
        )
    print_note(table.columns, f"{metadata}: has a row for {known:,} of {counted(len(pictures), 'image')}.")


def _verify_bare_ids(pictures: "Pictures") -> None:
    """Make sure that the file's name alone tells the images apart: the challenge's format has no paths."""
    for picture in pictures:
        if not picture.named and picture.image_id != image_id_of(picture.image_id):
            raise LesionwiseError(
                f"{picture.path}: expected one image of each name, because --format isic writes names "
                f"without folders, but several are called {image_id_of(picture.image_id)}. Leave the others "
                "out, or give ids in a CSV of image_id and path."
            )


def _verify_names(
    places: list[str],
    out: Path | None,
    errors: Path | None,
    *,
    model: Path | None,
    metadata: Path | None,
    heatmaps: Path | None,
) -> None:
    """Make sure that each result has a known format and overwrites no input."""
    for name, path in (("--out", out), ("--errors", errors), ("--model", model)):
        if path and path.is_dir():
            raise LesionwiseError(f"{path}: expected {name} to name a file but it is a folder.")
    if heatmaps and heatmaps.exists() and not heatmaps.is_dir():
        raise LesionwiseError(f"{heatmaps}: expected --heatmaps to name a folder but it is a file.")
    if out and errors and out.resolve() == errors.resolve():
        raise LesionwiseError(f"{out}: expected --out and --errors to name two files.")
    read = {Path(place).resolve() for place in (*places, model, metadata) if place}
    for name, path, suffixes in (("--out", out, _SUFFIXES), ("--errors", errors, _SUFFIXES[:1])):
        if path and path.resolve() in read:
            raise LesionwiseError(f"{path}: is an input; expected {name} to name another file.")
        if path and path.suffix.lower() not in suffixes:
            names = " or ".join(f"{path.stem}{suffix}" for suffix in suffixes)
            raise LesionwiseError(f"{path}: expected {name} to end in {' or '.join(suffixes)}, as {names}.")
    if out and out.suffix.lower() == ".parquet":
        require("pyarrow")


def _report(tally: "Tally", output: "Output", precision: str) -> None:
    from lesionwise.bundle.rendering import describe_counts, describe_several

    out, errors = output.table, output.errors
    kept = f", {tally.kept} kept from an earlier run" if tally.kept else ""
    repeated = f", {tally.repeated} repeated and left out" if tally.repeated else ""
    failed = f"; {tally.failed} could not be predicted: {errors}" if tally.failed else ""
    if tally.kept and not (tally.predicted or tally.failed):
        text = _FINISHED.format(out, counted(tally.kept, "image"))
    else:
        text = f"Predicted {counted(tally.predicted, 'image')}{kept}{repeated}: {out}{failed}"
        counts = describe_counts(tally.by_decision)
        text += f"\n{counts}." if counts else ""
        text += f"\n{describe_several(tally.several)}" if tally.several else ""
    if tally.predicted and out.suffix.lower() == ".csv":
        text += f"\nIf you have the true diagnoses: lesionwise evaluate {out} --truth TRUTH.csv"
    value = {
        "out": str(out),
        **tally.to_json(),
        "errors": str(errors) if tally.failed else None,
        "precision": precision,
    }
    print_result(text, value)
