"""`lesionwise gallery` and `lesionwise similar`: lesions of a collection that look alike."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lesionwise.cli import options
from lesionwise.cli.console import (
    describe_left_out,
    left_out_json,
    print_note,
    print_result,
    print_warning,
    prints_json,
    show_work,
)
from lesionwise.cli.options import argument, file_option, option
from lesionwise.errors import LesionwiseError
from lesionwise.wording import listed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lesionwise.gallery.gallery import Similar

_SUFFIX = ".safetensors"

OptionalGallery = Annotated[
    Path | None,
    file_option("--gallery", 'A gallery that "lesionwise gallery" made; similar lesions come from it.'),
]


def gallery(
    folder: options.DataFolder,
    out: Annotated[Path, option("--out", "Gallery to write: FILE.safetensors.", metavar="FILE")],
    part: options.Part = None,
    model: options.ModelFile = None,
    pictures: Annotated[
        bool, option("--pictures", "Keep a small picture of each image, so that serve can show it.")
    ] = False,
    licence: Annotated[
        str,
        option(
            "--licence",
            "Licence of the images, as it will be shown; by default the one that the data state.",
            metavar="TEXT",
        ),
    ] = "",
    append: Annotated[bool, option("--append", "Add the images to the gallery that --out names.")] = False,
    force: Annotated[bool, option("--force", "Replace the gallery that --out names.")] = False,
    workers: options.Workers = None,
    engine: options.EngineOption = "local",
) -> None:
    """Make a gallery of a labelled folder, to find lesions that look alike."""
    folder = options.with_part(folder, part)
    if out.suffix.lower() != _SUFFIX:
        raise LesionwiseError(f"{out}: expected --out to end in {_SUFFIX}, as {out.stem}{_SUFFIX}.")
    if engine == "ray" and workers:
        raise LesionwiseError("--workers is for --engine local; leave one of the two out.")
    if out.exists() and not (append or force):
        raise LesionwiseError(f"{out}: is there already. Pass --append, --force or another --out.")
    from lesionwise.bundle.engine import load_model
    from lesionwise.data.dataset import read_dataset
    from lesionwise.execution import usable_cores
    from lesionwise.files import sole_writer
    from lesionwise.gallery.gallery import load_gallery
    from lesionwise.predict.gallery import make_gallery

    loaded = load_model(model, streams=usable_cores())
    dataset = read_dataset(folder, without_table=True)
    with sole_writer(out), show_work(workers=workers, engine=engine) as execution:
        execution.progress.on_data(dataset.about)
        earlier = load_gallery(out, loaded) if append else None
        made, faults = make_gallery(
            loaded, dataset, out, earlier=earlier, pictures=pictures, licence=licence, execution=execution
        )
        made.write()
    lines = [f"{out}: {made.describe()}.", *made.advice]
    if not made.about.licence:
        lines.append('The gallery states no licence. To state one: --licence "…" --force')
    lines += describe_left_out(faults)
    lines.append(f"Next: lesionwise similar IMAGE --gallery {out}, or lesionwise serve --gallery {out}")
    value = {"gallery": str(out), **made.brief(), "left_out": left_out_json(faults)}
    print_result("\n".join(lines), value)
    if faults:
        raise typer.Exit(1)


def similar(
    images: Annotated[list[str], argument("IMAGE...", "Files, folders, patterns, zips or tables.")],
    gallery: Annotated[Path, file_option("--gallery", 'A gallery that "lesionwise gallery" made.')],
    model: options.ModelFile = None,
    count: Annotated[int, option("--count", "Number of similar lesions.", min=1, max=1000)] = 5,
    lesion: Annotated[
        str,
        option(
            "--lesion",
            "Lesion of the gallery that the images show, if known; the results leave it out.",
            metavar="ID",
        ),
    ] = "",
) -> None:
    """Show the lesions of a gallery that look most like an image, with their diagnoses."""
    from lesionwise.bundle.engine import load_model
    from lesionwise.bundle.rendering import DISCLAIMER
    from lesionwise.gallery.gallery import load_gallery

    engine = load_model(model)
    opened = load_gallery(gallery, engine)
    answers = engine.predict(images, skip_unreadable=True)
    results = []
    for name, found in zip(answers.names, opened.similar(answers, count, lesion=lesion), strict=True):
        results.append({"image": name, "similar": [one.to_json() for one in found]})
        if not prints_json():
            print_result(describe_similar(found, name))
    for name, reason in answers.left_out.items():
        print_warning(f"{name}: {reason}")
    value = {"results": results, "left_out": answers.left_out, "licence": opened.about.licence}
    print_result(f"Gallery: {opened.describe()}.", value)
    if not prints_json():
        print_note(*opened.advice, DISCLAIMER)
    if answers.left_out:
        raise typer.Exit(1)


def describe_similar(found: "Sequence[Similar]", name: str = "") -> str:
    """Return similar lesions as lines: what most of them are, then each of them."""
    from lesionwise.gallery.gallery import NOTHING_ALIKE

    if not found:
        return "The gallery has no other lesion."
    counts = Counter(one.dx for one in found).most_common()
    head = f"{name}: " if name else ""
    head += f"most similar: {listed([f'{number} {dx}' for dx, number in counts])}."
    if found[0].percentile >= NOTHING_ALIKE:
        head += f" NONE IS ALIKE: {found[0].percentile:.0%} of the gallery's images have a nearer lesion."
    width = max(len("image"), *(len(one.image_id) for one in found))
    lines = [head, f"  diagnosis  percentile  distance  {'image':{width}}  age, sex, site"]
    for one in found:
        about = [f"{one.age:g}" if one.age is not None else "", one.sex, one.localization]
        numbers = f"{one.percentile:10.1%}  {one.distance:8.4f}"
        known = ", ".join(filter(None, about)) or "not known"
        lines.append(f"  {one.dx:9}  {numbers}  {one.image_id:{width}}  {known}")
    return "\n".join(lines)
