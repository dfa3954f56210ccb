"""`lesionwise robustness` and `lesionwise stability`: scores and answers on changed pictures."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lesionwise.cli.console import Display, print_note, print_result, show_work
from lesionwise.cli.options import DeviceOption, Json, Quiet, RunArgument, file_option, folder_option
from lesionwise.errors import LesionwiseError, require
from lesionwise.wording import counted

if TYPE_CHECKING:
    from lesionwise.evaluation.stability import Stability

Model = Annotated[
    Path,
    typer.Argument(
        help="A run folder, a bundle, or the name of an included bundle: best or larger.",
        metavar="RUN|BUNDLE",
    ),
]
DataFolder = Annotated[
    Path | None,
    folder_option("--data", "Folder of the images; for a run, by default the one that it was trained on."),
]
SplitFile = Annotated[
    Path | None, file_option("--split", "For a bundle: the split.csv that it was made with.")
]


def robustness(
    run: RunArgument,
    part: Annotated[
        Literal["val", "test"],
        typer.Option("--part", help="Part whose photographs are changed; test only after evaluate --final."),
    ] = "val",
    device: DeviceOption = "auto",
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Score a run on changed photographs: ten changes, from blur to drawn hairs, at three strengths each."""
    from lesionwise.run_folder import open_run_folder, run_to_write

    open_run_folder(run, "run", "ensemble")
    require("torch")
    from lesionwise.evaluation.robustness import describe_robustness
    from lesionwise.experiments.robustness import perturbed_part
    from lesionwise.files import write_part
    from lesionwise.run_record import timed_stage

    with run_to_write(run, "run", "ensemble") as folder, show_work(device) as execution:
        with timed_stage(folder, f"robustness on {part}"):
            found = perturbed_part(folder, part, execution=execution)
        write_part(folder.robustness, part, found)
    lines = [f"{part}, on changed photographs:", *(f"  {line}" for line in describe_robustness(found))]
    print_result("\n".join(lines), found.to_json(), as_json=json)


def stability(
    model: Model, data: DataFolder = None, split: SplitFile = None, json: Json = False, quiet: Quiet = False
) -> None:
    """Show how often answers stay the same when cal pictures hardly change: saved again, moved, mirrored."""
    found = (_of_run if model.is_dir() else _of_bundle)(model, data, split)
    print_result("\n".join(_lines(found)), found.to_json(), as_json=json)


def _of_run(path: Path, data: Path | None, split: Path | None) -> "Stability":
    from lesionwise.bundle.engine import Engine
    from lesionwise.experiments.stability import run_stability
    from lesionwise.export.run import export_run
    from lesionwise.run_folder import run_to_write

    if split:
        raise LesionwiseError(f"{path}: is a run, which has its own split. Leave out --split.")
    with run_to_write(path, "run", "ensemble") as run, TemporaryDirectory() as folder:
        print_note("The bundle of the run is made now. It is measured and not kept.")
        with show_work() as execution:
            engine = Engine(export_run(run, Path(folder) / "model.onnx", execution=execution))
            return run_stability(run, engine, data=data, progress=execution.progress)


def _of_bundle(path: Path, data: Path | None, split: Path | None) -> "Stability":
    from lesionwise.bundle.load import verify_bundle_path

    verify_bundle_path(path)  # before the slow imports
    from lesionwise.bundle.engine import load_model
    from lesionwise.experiments.stability import bundle_stability

    if data is None or split is None:
        raise LesionwiseError(
            f"{path}: a bundle holds no images. Pass --data and --split, the folder and the split.csv that "
            "it was made with."
        )
    engine = load_model(path)
    with Display() as display:
        return bundle_stability(engine, data, split, progress=display)


def _lines(found: "Stability") -> list[str]:
    from lesionwise.evaluation.stability import ASPECTS, describe_stability

    head = f"{'stays the same, %':18}" + "".join(f"{title:>26}" for title in ASPECTS.values())
    rows = [
        f"{change:18}"
        + "".join(
            f"{100 * share.value:>9.1f} ({100 * share.low:5.1f} to {100 * share.high:5.1f})"
            for share in kept.shares.values()
        )
        for change, kept in found.changes.items()
    ]
    return [
        f"{counted(found.images, 'image')} of {counted(found.lesions, 'lesion')} of cal",
        head,
        *rows,
        *describe_stability(found),
    ]
