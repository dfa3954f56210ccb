"""Experiments with a recipe or a model: `cross-validate`, `leakage`, `robustness`, `stability`."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Literal

from lesionwise.cli import options
from lesionwise.cli.console import Display, print_note, print_result, show_work
from lesionwise.cli.options import argument, file_option, folder_option, option
from lesionwise.errors import LesionwiseError, require
from lesionwise.labels import LEAKY_STAMP
from lesionwise.wording import counted

if TYPE_CHECKING:
    from lesionwise.evaluation.stability import Stability
    from lesionwise.experiments.crossval import CrossValidation
    from lesionwise.experiments.leakage import Measurement, Outcome

_SHOWN = ("balanced_accuracy", "accuracy", "macro_f1", "macro_auc", "log_loss", "ece")
_SHOWN_OF_LEAKS = ("accuracy", "balanced_accuracy")
_ABOUT_PROTOCOLS = (
    "All four use the same recipe and the same images, but put aside the test images in different ways.\n"
    "The two ways that resample make the diagnoses equally common, in training and in test, and have more\n"
    "images and steps in an epoch, so compare balanced accuracies. Commonest alone is the accuracy of\n"
    "always giving the commonest diagnosis of the tested images. 95 % intervals by lesion."
)


def cross_validate(
    recipe: options.RecipeArgument,
    data: options.Data,
    out: options.Out = None,
    split: options.SplitFile = None,
    folds: Annotated[
        str | None,
        option(
            "--folds",
            "Number of folds, or with a comma, the numbers of the folds to train now.",
            metavar="K|1,2,…",
        ),
    ] = None,
    seed: options.Seed = 0,
    device: options.DeviceOption = "auto",
    workers: options.Workers = None,
    engine: options.EngineOption = "local",
    set_: options.Set = None,
) -> None:
    """Train once for each fold and predict the fold held out; the same command continues a stopped run."""
    from lesionwise.recipe import load_recipe

    resolved = load_recipe(recipe, set_ or ())
    require("torch")
    from lesionwise.experiments.crossval import cross_validate as run_folds

    chosen = _read_folds(folds)
    with show_work(device, workers=workers, engine=engine) as execution:
        result = run_folds(
            resolved,
            data,
            out=out or Path("runs") / f"{Path(recipe).stem}-folds",
            split=split,
            folds=chosen,
            seed=seed,
            execution=execution,
        )
    print_result(describe_folds(result), result.to_json())


def describe_folds(result: "CrossValidation") -> str:
    """Return the scores of each fold, their mean and the pooled score as lines of text."""
    pending = [fold for fold in result.folds if fold not in result.done]
    waiting = f"; {_joined(pending)} still to do" if pending else ""
    lines = [f"{result.run.path}: folds {_joined(result.done)} of {_joined(result.folds)} done{waiting}"]
    if result.pooled:
        names = "".join(f"{f'fold {fold}':>9}" for fold in result.done)
        lines.append(f"  {'':19}{names}   {'mean over folds':25}   pooled, out of fold")
        for name in _SHOWN:
            spread = result.by_fold[name]
            values = "".join(f"{value:9.3f}" for value in spread.each)
            lines.append(
                f"  {name.replace('_', ' '):19}{values}   {spread!s:25}   {result.pooled.overall[name]}"
            )
        lines.append(
            "Mean over folds: the score of a run of this recipe on new lesions; the interval shows how well "
            "runs agree (Nadeau and Bengio)."
        )
        lines.append(
            f"Pooled: all {counted(result.pooled.images, 'held-out prediction')} as one set; the interval "
            f"shows how certain the score of {counted(result.pooled.lesions, 'lesion')} is."
        )
    return "\n".join(lines)


def _read_folds(text: str | None) -> int | list[int] | None:
    if text is None:
        return None
    try:
        numbers = [int(number) for number in text.split(",") if number.strip()]
    except ValueError as error:
        raise LesionwiseError(
            f'Expected --folds to be a number of folds, or fold numbers such as 1,2, but got "{text}".'
        ) from error
    if not numbers:
        raise LesionwiseError(f'Expected --folds to name folds but got "{text}".')
    return numbers if "," in text else numbers[0]


def _joined(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers))


def leakage(
    recipe: options.RecipeArgument,
    data: options.Data,
    out: options.Out = None,
    split: options.SplitFile = None,
    seed: options.Seed = 0,
    device: options.DeviceOption = "auto",
    workers: options.Workers = None,
    engine: options.EngineOption = "local",
    set_: options.Set = None,
) -> None:
    """Measure what a leak is worth: one recipe, four kinds of split. Three of them LEAK, on purpose."""
    from lesionwise.recipe import load_recipe

    resolved = load_recipe(recipe, set_ or ())
    require("torch")
    from lesionwise.experiments.leakage import measure_leakage
    from lesionwise.files import read_json
    from lesionwise.report.leakage import write_leakage_page
    from lesionwise.run_folder import RunFolder

    folder = out or Path("runs") / f"{Path(recipe).stem}-leakage"
    with show_work(device, workers=workers, engine=engine) as execution:
        outcomes = measure_leakage(resolved, data, out=folder, split=split, seed=seed, execution=execution)
    page = write_leakage_page(folder)
    text = f"{describe_outcomes(outcomes)}\n\nPage: {page}"
    value = {"out": str(folder), "page": str(page), **read_json(RunFolder(folder).leakage)}
    print_result(text, value)


def describe_outcomes(outcomes: "list[Outcome]") -> str:
    """Return one block of lines for each protocol."""
    blocks = [_ABOUT_PROTOCOLS]
    for outcome in outcomes:
        stamp = f"  {LEAKY_STAMP}" if outcome.leaky else ""
        share = outcome.tainted / outcome.own.images
        copies = (
            f", and {outcome.repeated:,} of them are copies of a training image" if outcome.repeated else ""
        )
        shows = counted(outcome.tainted, f"({share:.0%}) shows", f"({share:.0%}) show")
        lines = [
            f"{outcome.title}{stamp}",
            f"  of {counted(outcome.own.images, 'test image')} {shows} a lesion that was trained on{copies}",
            _line("what a notebook reports", outcome.own),
        ]
        if outcome.leaky:
            lines.append(_line("on its clean rest", outcome.clean))
        lines.append(_line("on lesions nobody saw", outcome.exam))
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def _line(title: str, measured: "Measurement") -> str:
    scores = [
        f"{name.replace('_', ' ')} {measured.scores[name]}"
        for name in _SHOWN_OF_LEAKS
        if name in measured.scores
    ]
    note = [f"({measured.note})"] if measured.note else []
    if measured.baseline is not None:
        note.append(f"[commonest alone {measured.baseline:.3f}]")
    return f"  {title:24} {counted(measured.images, 'image'):>13}: {'  '.join([*scores, *note])}"


def robustness(
    run: options.RunArgument,
    part: Annotated[
        Literal["val", "test"],
        option("--part", "Part whose photographs are changed; test only after evaluate --final."),
    ] = "val",
    device: options.DeviceOption = "auto",
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
    print_result("\n".join(lines), found.to_json())


def stability(
    model: Annotated[
        Path,
        argument("RUN|BUNDLE", "A run folder, a bundle, or the name of an included bundle: best or larger."),
    ],
    data: Annotated[
        Path | None,
        folder_option(
            "--data", "Folder of the images; for a run, by default the one that it was trained on."
        ),
    ] = None,
    split: Annotated[
        Path | None, file_option("--split", "For a bundle: the split.csv that it was made with.")
    ] = None,
) -> None:
    """Show how often answers stay the same when cal pictures hardly change: saved again, moved, mirrored."""
    found = (_of_run if model.is_dir() else _of_bundle)(model, data, split)
    print_result("\n".join(_describe_stability(found)), found.to_json())


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


def _describe_stability(found: "Stability") -> list[str]:
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
