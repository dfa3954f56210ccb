"""Cross-validation by lesion: a run for each fold, and the predictions of every held-out image in one file.

Here: the order of the folds, and what is kept. Not here: what a fold's run sees (`lesionwise.split.folds`),
training it (`run`), and gathering what came out (`out_of_fold`).

The folder is a run folder whose part is `out-of-fold`, with a run folder for each fold inside:

    config.toml  split.csv  cross-validation.json  predictions-out-of-fold.csv  folds.csv  scores.json
    splits/fold-<k>.csv     what the run of a fold sees; its test part is the held-out fold
    fold-<k>/               its run folder; with predictions-test.csv it is finished, and never repeated
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lesionwise.cluster import Engine
from lesionwise.data.preprocess import recipe_steps
from lesionwise.errors import SplitError
from lesionwise.evaluation.runs.scores import evaluate_part
from lesionwise.experiments.begun import begin, is_begun, verify_same_data, verify_same_settings
from lesionwise.experiments.held_out import HeldOut, HeldOutMaker
from lesionwise.experiments.out_of_fold import CrossValidation, collect, is_finished
from lesionwise.experiments.sharing import share_out
from lesionwise.progress import OnCount, OnEpoch, OnStep
from lesionwise.recipe import Recipe, load_recipe
from lesionwise.run_folder import RunFolder, claim_own_folder
from lesionwise.split.assign import FOLDS
from lesionwise.split.folds import fold_everything, fold_numbers, fold_split, verify_whole
from lesionwise.split.split_file import Split
from lesionwise.training.loop.hardware import choose_device
from lesionwise.training.prepare import TrainingData, prepare, verify_diagnoses
from lesionwise.training.verify import verify_recipe

OnFold = Callable[[int, list[int]], None]


def cross_validate(
    recipe: Recipe | str | Path,
    data: str | Path,
    *,
    out: str | Path,
    split: str | Path | None = None,
    folds: int | list[int] | None = None,
    seed: int = 0,
    device: str = "auto",
    cache_root: str | Path | None = None,
    workers: int | None = None,
    engine: Engine = "local",
    on_fold: OnFold | None = None,
    on_read: OnCount | None = None,
    on_epoch: OnEpoch | None = None,
    on_step: OnStep | None = None,
) -> CrossValidation:
    """Train a recipe once for each fold, and predict each fold with the run that did not see it.

    The same call goes on where an earlier one was stopped, inside a fold as well.

    Args:
        recipe: A recipe, the name of a shipped one, or a TOML file.
        data: Folder of images with its table.
        out: The folder of the cross-validation.
        split: A split whose folds are used; its test part is neither trained on nor predicted. Left out, all
            images are dealt out by lesion.
        folds: How many folds, or the numbers of those to run now; all if left out.
        seed: Of the folds, weights, order, augmentation and dropout.
        device: "auto", "cpu", "cuda" or "mps".
        cache_root: Folder of all image caches.
        workers: Decoding threads.
        engine: "local" runs one fold after another; "ray" as many at once as a cluster has machines or GPUs,
            which all see `data` and `out` under one path. `on_epoch` and `on_step` are then not called.
        on_fold: Called with the number of each fold that is begun or continued and those to run.
        on_read: Called with the images decoded and the number of all.
        on_epoch: Called with each row of the history.
        on_step: Called with the number of the epoch, the images done and the images of the epoch.

    Raises:
        LesionwiseError: If recipe, data or split cannot be used; the message says what to do.
    """
    recipe = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    run = RunFolder(Path(out))
    verify_recipe(recipe, choose_device(device) if engine == "local" else None, begun=is_begun(run))
    dealt = _begin(
        run,
        recipe,
        Path(data),
        split=Path(split) if split else None,
        folds=folds,
        seed=seed,
        cache_root=Path(cache_root) if cache_root else None,
        workers=workers,
        on_read=on_read,
    )
    chosen = _choose(dealt.numbers, folds, run.split)
    maker = HeldOutMaker(
        recipe, Path(data), run.path, seed, device, Path(cache_root) if cache_root else None, workers
    )
    tell = on_fold or (lambda _fold, _chosen: None)
    open_ = [fold for fold in chosen if not is_finished(run.fold(fold))]
    if engine == "ray":
        for fold in open_:
            tell(fold, chosen)
        for _ in share_out(
            finish_fold, [maker.make(run.fold(fold).path.name, dealt.fold(fold, seed)) for fold in open_]
        ):
            collect(run)
    for fold in open_ if engine == "local" else ():
        if not run.fold(fold).predictions("test").exists():
            tell(fold, chosen)
        own = maker.make(run.fold(fold).path.name, dealt.fold(fold, seed))
        finish_fold(own, on_epoch=on_epoch, on_step=on_step)
        collect(run)
    return collect(run)


def finish_fold(fold: HeldOut, *, on_epoch: OnEpoch | None = None, on_step: OnStep | None = None) -> None:
    """Train a fold's run, predict what it holds out, and score that; what is done is not repeated.

    Args:
        fold: The run.
        on_epoch: Called with each row of the history.
        on_step: Called with the number of the epoch, the images done and the images of the epoch.
    """
    with fold.alone() as own:
        if not own.predictions("test").exists():
            fold.finish(on_epoch=on_epoch, on_step=on_step)
        if not is_finished(own):
            evaluate_part(own, "test")


@dataclass(frozen=True)
class _Dealt:
    """The split that is folded, with the data it was verified against."""

    split: Split
    data: TrainingData
    numbers: list[int]

    @property
    def unit(self) -> NDArray[np.str_]:
        """What stays together: lesions as they follow from the table, or images under a leaky split."""
        return self.data.image_id if self.split.leaky else self.data.group

    def fold(self, fold: int, seed: int) -> Split:
        """Return what the run of a fold sees."""
        return fold_split(self.split, fold, self.data.dataset, self.unit, seed=seed)


def _begin(
    run: RunFolder,
    recipe: Recipe,
    folder: Path,
    *,
    split: Path | None,
    folds: int | list[int] | None,
    seed: int,
    cache_root: Path | None,
    workers: int | None,
    on_read: OnCount | None,
) -> _Dealt:
    """Return the folds of a new cross-validation, or of one that is continued."""
    if recipe.defect_resample_before_split:
        raise SplitError(
            'defect_resample_before_split makes a split of its own, not folds. See "lesionwise leakage".'
        )
    claim_own_folder(run.cross_validation, what="cross-validation")
    begun = is_begun(run)
    if begun:
        verify_same_settings(run, run.cross_validation, recipe, split, {"--seed": seed})
    data = prepare(
        folder,
        recipe.image_size,
        steps=recipe_steps(recipe),
        split_path=run.split if begun else split,
        seed=seed,
        cache_root=cache_root,
        workers=workers,
        on_read=on_read,
    )
    own = data.split
    if begun:
        verify_same_data(run, run.cross_validation, recipe, data)
    elif split is None:
        count = folds if isinstance(folds, int) else FOLDS
        own = fold_everything(data.dataset, data.group, folds=count, seed=seed)
    verify_whole(own, str(split or run.split))
    numbers = fold_numbers(own, str(split or run.split))
    _verify_folds(data, own, numbers, str(split or run.split))
    if not begun:
        _choose(numbers, folds, split or run.split)  # before anything is written
        facts = {"seed": seed, **data.content(recipe.metadata), "folds": numbers, "done": []}
        begin(run, run.cross_validation, recipe, own, facts)
    return _Dealt(own, data, numbers)


def _verify_folds(data: TrainingData, own: Split, numbers: list[int], source: str) -> None:
    """Make sure that each fold can be scored, before the first is trained for an hour."""
    fold = own.frame.set_index("image_id")["fold"].reindex(data.image_id).to_numpy()
    names = [f"fold {number:g}" if number in numbers else "" for number in fold]
    verify_diagnoses(data.y, np.array(names), source=source)


def _choose(numbers: list[int], folds: int | list[int] | None, source: Path) -> list[int]:
    """Return the folds to run now."""
    shown = ", ".join(map(str, numbers))
    if isinstance(folds, int) and folds != len(numbers):
        raise SplitError(
            f"{source}: has {len(numbers)} folds beside test ({shown}), not {folds}. Leave --folds out for "
            f"all of them, or name those to run now with a comma: "
            f'"--folds {numbers[0]}," or "--folds {numbers[0]},{numbers[1]}".'
        )
    if folds is None or isinstance(folds, int):
        return numbers
    unknown = sorted(set(folds) - set(numbers))
    if unknown or not folds:
        raise SplitError(f"{source}: expected folds among {shown} but got {', '.join(map(str, unknown))}.")
    return sorted(set(folds))
