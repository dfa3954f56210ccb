"""What a leak is worth: one recipe, one set of images, four ways of putting some of them aside for testing.

Here: the four protocols. Not here: training (`run`), the copies (`defects`), the scores (`leak_outcome`), the
figure and the page (`lesionwise.report`).

The test part of the split is left alone. One of its other folds, the first, is the exam: no protocol trains
on it. The rest is what the four protocols deal out, each in its own way.

    config.toml  split.csv  leakage.json  leakage.csv
    splits/<protocol>.csv   what the protocol dealt out
    <protocol>/             its run folder; with predictions-exam.csv it is finished, and never repeated
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lesionwise.cluster import Engine
from lesionwise.data.preprocess import recipe_steps
from lesionwise.errors import SplitError
from lesionwise.experiments.begun import begin, is_begun, verify_same_data, verify_same_settings
from lesionwise.experiments.held_out import HeldOut, HeldOutMaker
from lesionwise.experiments.leakage_scores import (
    EXAM,
    PROTOCOLS,
    Outcome,
    grouped_dataset,
    judge,
    write_outcomes,
)
from lesionwise.experiments.sharing import share_out
from lesionwise.progress import OnCount, OnEpoch, OnStep
from lesionwise.recipe import Recipe, load_recipe
from lesionwise.run_folder import RunFolder, claim_own_folder
from lesionwise.split.assign import make_split
from lesionwise.split.folds import fold_numbers, in_folds, verify_whole
from lesionwise.split.split_file import Split
from lesionwise.training.defects import augmented_copies, copied_dataset, draw_copies
from lesionwise.training.fit import write_part_predictions
from lesionwise.training.loop.hardware import choose_device
from lesionwise.training.prepare import TrainingData, prepare
from lesionwise.training.verify import verify_recipe

PER_CLASS: Final = 500  # what the seeds' notebooks draw of each class
_AUGMENTED_TIMES: Final = 3  # three changed copies beside each drawn image

OnProtocol = Callable[[str], None]


def measure_leakage(
    recipe: Recipe | str | Path,
    data: str | Path,
    *,
    out: str | Path,
    split: str | Path | None = None,
    seed: int = 0,
    per_class: int = PER_CLASS,
    device: str = "auto",
    cache_root: str | Path | None = None,
    workers: int | None = None,
    engine: Engine = "local",
    on_protocol: OnProtocol | None = None,
    on_read: OnCount | None = None,
    on_epoch: OnEpoch | None = None,
    on_step: OnStep | None = None,
) -> list[Outcome]:
    """Train a recipe under four protocols, and score each as a notebook would and as it deserves.

    The same call goes on where an earlier one was stopped.

    Args:
        recipe: A recipe, the name of a shipped one, or a TOML file.
        data: Folder of images with its table.
        out: The folder of the four runs.
        split: A split by lesion, whose test part is left alone; one is made if left out.
        seed: Of the splits, the draw, weights, order, augmentation and dropout.
        per_class: Images to draw of each class where a protocol resamples.
        device: "auto", "cpu", "cuda" or "mps".
        cache_root: Folder of all image caches.
        workers: Decoding threads.
        engine: "local" runs one protocol after another, "ray" several at once; see `cross_validate`.
        on_protocol: Called with the name of each protocol that is begun or continued.
        on_read: Called with the images decoded and the number of all.
        on_epoch: Called with each row of the history.
        on_step: Called with the number of the epoch, the images done and the images of the epoch.

    Raises:
        LesionwiseError: If recipe, data or split cannot be used; the message says what to do.
    """
    recipe = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    folder = RunFolder(Path(out))
    verify_recipe(recipe, choose_device(device) if engine == "local" else None, begun=is_begun(folder))
    root = Path(cache_root) if cache_root else None
    known = prepare(
        Path(data),
        recipe.image_size,
        steps=recipe_steps(recipe),
        split_path=_begin(folder, recipe, Path(split) if split else None, seed, per_class),
        seed=seed,
        cache_root=root,
        workers=workers,
        on_read=on_read,
    )
    exam = _exam_fold(known, str(split or folder.split))
    runs = {protocol: RunFolder(folder.path / protocol) for protocol in PROTOCOLS}
    splits = {  # all of them before anything is written: one may be refused
        protocol: protocol_split(protocol, known, exam, seed=seed, per_class=per_class)
        for protocol, run in runs.items()
        if not run.predictions(EXAM).exists()
    }
    _record(folder, recipe, known, seed, per_class)
    maker = HeldOutMaker(recipe, Path(data), folder.path, seed, device, root, workers)
    tell = on_protocol or (lambda _protocol: None)
    if engine == "ray":
        for protocol in splits:
            tell(protocol)
        for _ in share_out(finish_protocol, [maker.make(*pair) for pair in splits.items()]):
            pass
    for protocol, made in splits.items() if engine == "local" else ():
        tell(protocol)
        finish_protocol(maker.make(protocol, made), known=known, on_epoch=on_epoch, on_step=on_step)
    outcomes = [judge(run, known) for run in runs.values()]
    write_outcomes(folder, outcomes)
    return outcomes


def finish_protocol(
    protocol: HeldOut,
    *,
    known: TrainingData | None = None,
    on_epoch: OnEpoch | None = None,
    on_step: OnStep | None = None,
) -> None:
    """Train a protocol's run, and predict its own test part and the exam; what is done is not repeated.

    Args:
        protocol: The run.
        known: All images with the split of the measurement; read from the folder if left out.
        on_epoch: Called with each row of the history.
        on_step: Called with the number of the epoch, the images done and the images of the epoch.
    """
    with protocol.alone() as run:
        if run.predictions(EXAM).exists():
            return
        protocol.finish(on_epoch=on_epoch, on_step=on_step)
        whole = RunFolder(run.path.parent).split
        known = known or prepare(
            protocol.data,
            protocol.recipe.image_size,
            steps=recipe_steps(protocol.recipe),
            split_path=whole,
            cache_root=protocol.cache_root,
        )
        seen = _exam_only(known, _exam_fold(known, str(whole)))
        device = choose_device(protocol.device)
        write_part_predictions(run, protocol.recipe, seen, (EXAM,), device=device)


def protocol_split(protocol: str, known: TrainingData, exam: int, *, seed: int, per_class: int) -> Split:
    """Return the split that a protocol makes of what is neither test nor exam.

    Args:
        protocol: Key of `PROTOCOLS`.
        known: All images with the split whose test part is left alone.
        exam: The fold that is put aside.
        seed: Of the split and the draw.
        per_class: Images to draw of each class.

    Returns:
        A split whose test part is what the protocol is scored on; stamped where it leaks.

    Raises:
        SplitError: If a diagnosis has too few lesions left.
    """
    inside, in_exam = in_folds(known.split, known.image_id), _in_exam(known, exam)
    open_to_all = inside & ~in_exam
    dataset = grouped_dataset(known, open_to_all)
    left_out = int((~open_to_all).sum())
    if protocol in {"resampled", "augmented"}:
        copies = draw_copies(dataset, per_class=per_class, seed=seed)
        if protocol == "augmented":
            copies = augmented_copies(copies, _AUGMENTED_TIMES)
        dataset, left_out = copied_dataset(dataset, copies)[0], 0
    try:
        made = make_split(dataset, by="lesion" if protocol == "lesion-split" else "image", seed=seed)
    except SplitError as error:
        raise SplitError(f"Beside test and the exam (fold {exam}), for {protocol}: {error}") from error
    own: dict[str, Any] = {"of": known.split.fingerprint, "held_out": PROTOCOLS[protocol]}
    return Split(made.frame, {**made.meta, **own, "left_out": left_out})


def _exam_only(known: TrainingData, exam: int) -> TrainingData:
    return replace(known, part=np.where(_in_exam(known, exam), EXAM, ""))


def _in_exam(known: TrainingData, exam: int) -> NDArray[np.bool_]:
    fold = known.split.frame.set_index("image_id")["fold"].reindex(known.image_id).to_numpy()
    return np.asarray(fold == exam) & in_folds(known.split, known.image_id)


def _begin(folder: RunFolder, recipe: Recipe, split: Path | None, seed: int, per_class: int) -> Path | None:
    """Return the split to read: that of a measurement that is continued, or the one given."""
    if recipe.defect_resample_before_split:
        raise SplitError("Expected a recipe without defect_resample_before_split: two protocols resample.")
    claim_own_folder(folder.leakage, what="measurement")
    if not is_begun(folder):
        return split
    verify_same_settings(folder, folder.leakage, recipe, split, {"--seed": seed, "per_class": per_class})
    return folder.split


def _exam_fold(known: TrainingData, source: str) -> int:
    if known.split.leaky:
        raise SplitError("Expected a split by lesion, so that the exam is clean, but it says that it leaks.")
    verify_whole(known.split, source)
    return fold_numbers(known.split, source)[0]


def _record(folder: RunFolder, recipe: Recipe, known: TrainingData, seed: int, per_class: int) -> None:
    if is_begun(folder):
        verify_same_data(folder, folder.leakage, recipe, known)
    else:
        content = known.content(recipe.metadata)
        facts: dict[str, Any] = {"seed": seed, **content, "per_class": per_class, "outcomes": []}
        begin(folder, folder.leakage, recipe, known.split, facts)
