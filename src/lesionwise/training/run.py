"""A run from a recipe and a data folder: the work of `lesionwise train`.

Not here: the stages, and the test part (`ledger`).
"""

from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from lesionwise.data.dataset import ORIGINALS
from lesionwise.errors import RunError, SplitError
from lesionwise.evaluation.rejection import has_numbers
from lesionwise.evaluation.runs.calibrate import calibrate_run
from lesionwise.execution import Execution
from lesionwise.files import read_json, sole_writer, write_json, write_text
from lesionwise.models.backbones import lowest_layers
from lesionwise.models.weights import FRESH
from lesionwise.recipe import Recipe, load_recipe
from lesionwise.run_folder import (
    RunFolder,
    claim_run_folder,
    next_run_path,
    open_run_folder,
    verify_not_reread,
    verify_same_start,
)
from lesionwise.run_record import describe_environment, timed_stage
from lesionwise.split.assign import By
from lesionwise.split.split_file import is_other_split, read_split, write_split
from lesionwise.training.fit import fit, fresh_network
from lesionwise.training.loop.hardware import choose_device, verify_compiler
from lesionwise.training.loop.processes import joined_processes, verify_share
from lesionwise.training.loop.tracking import verify_logger
from lesionwise.training.prepare import TrainingData, prepare
from lesionwise.training.probe import fit_probe
from lesionwise.training.rejection import write_numbers
from lesionwise.training.start import note_start
from lesionwise.wording import counted

_OPEN_SCHEDULES: Final = ("constant", "plateau")  # their rate does not depend on the number of epochs
_MADE_OF_WEIGHTS: Final = ("calibration.json", "scores.json", "explanation.json", "robustness.json")


def verify_recipe(recipe: Recipe, device: str | None, *, resumed: bool = False) -> None:
    """Refuse a recipe that would otherwise fail after images were read and folders written.

    Args:
        device: "cpu", "cuda" or "mps"; None if other machines train, which make their own checks.
        resumed: Whether weights of the run exist, so that those of the recipe need not be there.

    Raises:
        LesionwiseError: If the extra of its logger or a compiler is missing, if its network or weights are
            not available or do not fit its image sizes, or if it freezes all layers.
    """
    if device:
        verify_logger(recipe)
    if device and recipe.compile:
        verify_compiler(device)
    network = fresh_network(recipe, weights=FRESH if resumed else recipe.weights)
    if recipe.freeze_layers:
        lowest_layers(network, recipe.freeze_layers)


def recipe_changes(recipe: Recipe, config: Path) -> str:
    """Return the keys in which a recipe differs from that of a folder, in words; empty if there are none.

    Args:
        config: File of the earlier recipe, which may have another path to the same weights.
    """
    earlier = load_recipe(config)
    if Path(earlier.weights).resolve() == Path(recipe.weights).resolve():
        recipe = recipe.model_copy(update={"weights": earlier.weights})
    was, now = earlier.model_dump(mode="json"), recipe.model_dump(mode="json")
    return ", ".join(f"{key} was {was[key]!r}, now {now[key]!r}" for key in was if was[key] != now[key])


def train(
    recipe: Recipe | str | Path,
    data: str | Path,
    *,
    out: str | Path | None = None,
    split: str | Path = "lesion",
    seed: int = 0,
    resume: bool = False,
    execution: Execution = Execution(),
) -> RunFolder:
    """Train a recipe on a data folder, predict val and cal, and calibrate on cal; `test` is not read.

    Args:
        recipe: A recipe, the name of an included one, or a TOML file.
        data: Folder of images with its table.
        out: The run folder; if left out, `runs/<recipe>-<number>`, with the model in place of a `Recipe`.
        split: A `split.csv` to use; or what a new split keeps together: "lesion", or "image", which leaks
            and stamps all results.
        seed: Seed of split, weights, order, augmentation and dropout.
        resume: Continue the run in `out`.
        execution: Hardware, caches and receiver of the progress.

    Raises:
        LesionwiseError: If recipe, data or split cannot be used; the message says what to do.
    """
    name = recipe.model if isinstance(recipe, Recipe) else Path(recipe).stem
    recipe = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    wish: Path | By = "lesion" if split == "lesion" else "image" if split == "image" else Path(split)
    execution = replace(execution, device=choose_device(execution.device))
    _verify_wishes(recipe, out, wish, resume=resume, execution=execution)

    def begin() -> tuple[RunFolder, TrainingData, bool]:
        path = Path(out) if out else next_run_path(Path("runs"), name)
        held.enter_context(sole_writer(path))
        run = claim_run_folder(path, resume=resume)
        longer = _verify_same_start(run, recipe, seed=seed, split=wish)
        prepared = _prepare_run(run, recipe, Path(data), wish, seed=seed, execution=execution)
        if longer:
            _train_longer(run, recipe)
        return run, prepared, run.predictions("cal").exists()

    devices, nodes = execution.devices, execution.nodes
    joined = joined_processes(execution.device, devices=devices, nodes=nodes)
    with joined as processes, ExitStack() as held:
        run, prepared, is_trained = processes.first(begin)
        if not is_trained:
            noted: AbstractContextManager[dict[str, Any]] = (
                timed_stage(run, "train") if processes.is_first else nullcontext({})
            )
            with noted as stage:
                learn = fit_probe if recipe.probe else partial(fit, processes=processes, resume=resume)
                clock = learn(recipe, prepared, run, seed=seed, execution=execution)
                stage |= {"images": clock.images, "parts": clock.seconds, "precision": clock.precision}
        if processes.is_first:
            learn_from_cal(run, recipe, prepared, device=execution.device)
    return run


def _verify_wishes(
    recipe: Recipe, out: str | Path | None, split: Path | By, *, resume: bool, execution: Execution
) -> None:
    """Make sure that the options fit together, before anything starts."""
    if resume and not out:
        raise RunError("Expected --out to name the run that --resume continues.")
    if isinstance(split, Path) and recipe.defect_resample_before_split:
        raise SplitError(
            f"{split}: defect_resample_before_split makes a split of its own. Leave one of the two out."
        )
    verify_share(recipe, execution.devices * execution.nodes)
    run = RunFolder(Path(out)) if resume and out else None
    resumed = run is not None and (
        run.last.exists() or run.before_last.exists() or run.predictions("cal").exists()
    )
    verify_recipe(recipe, execution.device, resumed=resumed)


def _prepare_run(
    run: RunFolder, recipe: Recipe, folder: Path, split: Path | By, *, seed: int, execution: Execution
) -> TrainingData:
    """Prepare the data, and note how the run starts; a continued run must find the same data."""
    resumed = run.data.exists()
    with timed_stage(run, "data") as stage:
        own = run.split if resumed else split
        prepared = prepare(folder, recipe, split=own, seed=seed, execution=execution)
        stage["images"] = len(prepared.y)
        if resumed:
            _verify_same_data(run, recipe, prepared)
        else:
            origin = split if isinstance(split, Path) else None
            _describe(run, recipe, prepared, seed=seed, split_origin=origin)
            note_start(run, recipe.weights)
    return prepared


def prepare_again(
    run: RunFolder, execution: Execution = Execution()
) -> tuple[Recipe, TrainingData, str | None]:
    """Return recipe and data of a run, and where its split came from."""
    recipe = load_recipe(open_run_folder(run.path, "run").config)
    facts = read_json(run.data)
    folder = Path(facts["folder"])
    prepared = prepare(folder, recipe, split=run.split, seed=facts["seed"], execution=execution)
    _verify_same_data(run, recipe, prepared)
    return recipe, prepared, facts["split_origin"]


def learn_from_cal(run: RunFolder, recipe: Recipe, data: TrainingData, *, device: str) -> None:
    """Calibrate the answers, and learn which images get none."""
    if not run.calibration.exists():
        with timed_stage(run, "calibrate"):
            calibrate_run(run)
    if not has_numbers(run) and _may_be_served(recipe, data):
        with timed_stage(run, "rejection"):
            write_numbers(run, recipe, data, device=device)


def _verify_same_start(run: RunFolder, recipe: Recipe, *, seed: int, split: Path | By) -> bool:
    """Make sure that a run is continued as it was started, and return whether for more epochs."""
    verify_not_reread(run)
    if not run.data.exists():
        return False
    kept = read_json(run.data)["seed"]
    longer = _is_longer(run, recipe)
    verify_same_start(
        run.path,
        {
            "recipe": "" if longer else recipe_changes(recipe, run.config),
            "--seed": "" if kept == seed else f"--seed was {kept}, now {seed}",
            "--split": isinstance(split, Path) and is_other_split(split, run.split),
            "--by": split == "image" and not read_split(run.split).leaky,
        },
    )
    return longer


def _is_longer(run: RunFolder, recipe: Recipe) -> bool:
    """Return whether a recipe differs from that of a run only by more epochs, and can continue it.

    Raises:
        RunError: If its schedule depends on the number of epochs, or its test part was looked at.
    """
    before = load_recipe(run.config).epochs
    as_before = recipe.model_copy(update={"epochs": before})
    if recipe.epochs <= before or recipe_changes(as_before, run.config):
        return False
    if recipe.schedule not in _OPEN_SCHEDULES:
        raise RunError(
            f"{run.path}: epochs was {before}, now {recipe.epochs}, but its {recipe.schedule} schedule "
            f"spreads the learning rate over {counted(before, 'epoch')}. Train again with another --out."
        )
    if run.predictions("test").exists():
        raise RunError(
            f"{run.path}: epochs was {before}, now {recipe.epochs}, but its test part was already predicted, "
            "so a score of further training would not be blind. Train again with another --out."
        )
    return True


def _train_longer(run: RunFolder, recipe: Recipe) -> None:
    """Note the longer recipe, and remove the results of the weights so far."""
    for made in ("predictions-*.csv", "embeddings-*.npy", *_MADE_OF_WEIGHTS):
        for path in run.path.glob(made):
            path.unlink()
    write_text(run.config, recipe.to_toml())


def _verify_same_data(run: RunFolder, recipe: Recipe, data: TrainingData) -> None:
    if data.is_other_than(read_json(run.data), recipe.metadata):
        raise RunError(
            f"{data.dataset.folder}: is not the data that {run.path} was started with; its content changed."
        )


def _describe(
    run: RunFolder, recipe: Recipe, data: TrainingData, *, seed: int, split_origin: Path | None
) -> None:
    write_text(run.config, recipe.to_toml())  # first: it makes the folder a run
    write_split(data.split, run.split)
    write_json(run.environment, describe_environment())
    table = data.dataset.table
    if set(ORIGINALS) <= set(table):  # the names before a merge, which the split does not have
        columns = table[["image_id", *ORIGINALS]]
        write_text(run.originals, str(columns.to_csv(index=False, lineterminator="\n")))
    write_json(
        run.data,
        {
            "folder": str(data.dataset.folder.resolve()),
            "layout": data.dataset.layout,
            "images": len(data.y),
            "lesions": len(set(data.group)),
            **data.content(recipe.metadata),
            "remarks": [str(remark) for remark in (*data.dataset.warnings, *data.dataset.notes)],
            "split_origin": str(split_origin.resolve()) if split_origin else None,
            "seed": seed,
        },
    )


def _may_be_served(recipe: Recipe, data: TrainingData) -> bool:
    """Return whether a run may be deployed: no fold, no leak, no statistics of a whole part."""
    split = data.split
    return not (split.leaky or "held_out" in split.meta or recipe.defect_own_statistics)
