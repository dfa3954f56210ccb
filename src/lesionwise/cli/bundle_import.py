"""`lesionwise bundle import`: somebody else's model as a bundle."""

from pathlib import Path
from typing import Annotated, Literal

from lesionwise.cli import options
from lesionwise.cli.bundle_show import bundle_record
from lesionwise.cli.console import print_note, print_result
from lesionwise.cli.options import argument, option
from lesionwise.errors import LesionwiseError

_RAW = (
    'It is not calibrated: its probabilities are raw. To calibrate it, run "lesionwise calibrate FILE --data '
    'DIR --out FILE".'
)


def import_(
    path: Annotated[Path, argument("MODEL", "An ONNX file or a Keras model (.keras, .h5).")],
    out: Annotated[Path, option("--out", "File to write the bundle to.", metavar="FILE")],
    classes: Annotated[
        str,
        option(
            "--classes",
            "Codes of the diagnoses in the order of the model's outputs, such as nv,mel,bkl,…; auto "
            "finds the order that the pictures of --data support.",
        ),
    ],
    gives: Annotated[
        Literal["probabilities", "logits"], option("--gives", "Kind of output that the model gives.")
    ],
    divide: Annotated[float, option("--divide", "Number that pixels from 0 to 255 are divided by first.")],
    mean: Annotated[
        str,
        option(
            "--mean",
            "Number that is then subtracted, or three in the order R,G,B, whatever --channels is; 0 for "
            "none.",
        ),
    ],
    std: Annotated[
        str,
        option(
            "--std",
            "Number that pixels are divided by last, or three in the order R,G,B, whatever --channels is; "
            "1 for none.",
        ),
    ],
    channels: Annotated[
        Literal["rgb", "bgr"],
        option(
            "--channels", "Order of the colours that the model takes; the order is changed last, after --std."
        ),
    ],
    size: Annotated[
        str | None, option("--size", "Height x width in pixels, if the file does not state them.")
    ] = None,
    recipe: Annotated[
        str | None,
        option(
            "--recipe",
            "For a .h5 with weights alone: the recipe whose layers they belong to, such as seed-cnn.",
        ),
    ] = None,
    data: options.LabelledFolder = None,
    truth: options.TruthOfPictures = None,
    by: options.LesionsOfPictures = "lesion",
    name: Annotated[str | None, option("--name", "Name of the model; by default that of its file.")] = None,
    licence: Annotated[
        str, option("--licence", "Licence of the weights, such as CC-BY-NC-4.0; without it, none is stated.")
    ] = "",
) -> None:
    """Make a bundle of somebody else's model; state what its file does not say."""
    if classes == "auto" and not data:
        raise LesionwiseError(
            "--classes auto needs labelled pictures: pass their folder with --data. --truth is needed only "
            "where the folder has no table."
        )
    if classes != "auto" and (data or truth or by == "image"):
        raise LesionwiseError(
            "--data, --truth and --by need --classes auto: they serve to find the order of the classes."
        )
    from lesionwise.export.foreign import Conventions, import_model
    from lesionwise.labels import CODES

    conventions = Conventions(
        classes=CODES if data else tuple(code.strip() for code in classes.split(",")),
        gives=gives,
        divide=divide,
        mean=_three(mean, "--mean"),
        std=_three(std, "--std"),
        channels=channels,
        size=_size(size) if size else None,
        recipe=recipe,
    )
    order = None
    if data:
        from dataclasses import replace

        from lesionwise.export.foreign import find_classes

        order, notes = find_classes(path, conventions, data, truth, by_image=by == "image")
        conventions = replace(conventions, classes=order.classes)
        print_note(*notes, order.describe())
    made = import_model(path, out, conventions, name=name or path.stem, licence=licence)
    print_note(*(f"Changed: {change}." for change in made.changes), *made.warnings)
    print_result(
        f"Bundle: {made.bundle.path} ({len(made.bundle.content) / 1e6:.1f} MB). {_RAW}",
        {
            **bundle_record(made.bundle),
            "changes": list(made.changes),
            "warnings": list(made.warnings),
            **({"order": vars(order)} if order else {}),
        },
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
