"""What a leak is worth: one recipe, one set of images, four ways of putting some of them aside for testing.

Here: the four protocols. Not here: training (`training.run`), the copies (`training.defects`), the scores
(`leakage_scores`), the figure and the page (`lesionwise.report`).

The test part of the split is left alone. One of its other folds, the first, is the exam: no protocol trains
on it. The rest is what the four protocols deal out, each in its own way.

    config.toml  split.csv  leakage.json  leakage.csv
    splits/<protocol>.csv   what the protocol dealt out
    <protocol>/             its run folder; with predictions-exam.csv it is finished, and never repeated
"""

from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lesionwise.errors import SplitError
from lesionwise.execution import Execution
from lesionwise.experiments.folder import Experiment, HeldOut
from lesionwise.experiments.leakage_scores import (
    EXAM,
    PROTOCOLS,
    Outcome,
    grouped_dataset,
    judge,
    write_outcomes,
)
from lesionwise.experiments.sharing import finish_all
from lesionwise.files import sole_writer
from lesionwise.recipe import Recipe, load_recipe
from lesionwise.run_folder import RunFolder
from lesionwise.split.assign import make_split
from lesionwise.split.folds import fold_numbers, in_folds, verify_whole
from lesionwise.split.split_file import Split
from lesionwise.training.defects import augmented_copies, copied_dataset, draw_copies
from lesionwise.training.fit import write_part_predictions
from lesionwise.training.loop.hardware import choose_device
from lesionwise.training.prepare import TableData, prepare

PER_CLASS: Final = 500  # what the seeds' notebooks draw of each class
_AUGMENTED_TIMES: Final = 3  # three changed copies beside each drawn image


def measure_leakage(
    recipe: Recipe | str | Path,
    data: str | Path,
    *,
    out: str | Path,
    split: str | Path | None = None,
    seed: int = 0,
    per_class: int = PER_CLASS,
    execution: Execution = Execution(),
) -> list[Outcome]:
    """Train a recipe under four protocols, and score each as a notebook would and as it deserves.

    The same call goes on where an earlier one was stopped.

    Args:
        split: A split by lesion, whose test part is left alone; one is made if left out.
        per_class: Number of images to draw of each class where a protocol resamples; at most as many as the
            commonest class has.
    """
    recipe = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    folder = RunFolder(Path(out))
    experiment = Experiment(recipe, Path(data), folder, folder.leakage, seed, execution)
    experiment.verify_recipe()
    with sole_writer(folder.path):
        return _finish_protocols(experiment, split, per_class)


def _finish_protocols(experiment: Experiment, split: str | Path | None, per_class: int) -> list[Outcome]:
    folder = experiment.folder
    runs = {protocol: RunFolder(folder.path / protocol) for protocol in PROTOCOLS}

    def deal(known: TableData) -> dict[str, Split]:
        """Return the splits of all protocols that are left to do; one of them may be refused."""
        exam = _exam_fold(known, str(split or folder.split))
        return {
            protocol: protocol_split(protocol, known, exam, seed=experiment.seed, per_class=per_class)
            for protocol, run in runs.items()
            if not run.predictions(EXAM).exists()
        }

    given = Path(split) if split else None
    known = experiment.read(given, deal, what="measurement", per_class=per_class)
    splits = deal(known)
    if not experiment.started:
        experiment.start(known, known.split, per_class=per_class, outcomes=[])
    waiting = [
        experiment.held_out(protocol, f"{protocol}: {PROTOCOLS[protocol]}", made)
        for protocol, made in splits.items()
    ]
    for _ in finish_all(finish_protocol, waiting):
        pass
    outcomes = [judge(run, known) for run in runs.values()]
    write_outcomes(folder, outcomes)
    return outcomes


def finish_protocol(protocol: HeldOut) -> None:
    """Train a protocol's run, and predict its own test part and the exam; what is done is not repeated."""
    with protocol.alone() as run:
        if run.predictions(EXAM).exists():
            return
        protocol.finish()
        whole = RunFolder(run.path.parent).split
        known = prepare(protocol.data, protocol.recipe, split=whole, execution=protocol.execution)
        in_exam = _in_exam(known, _exam_fold(known, str(whole)))
        seen = replace(known, part=np.where(in_exam, EXAM, ""))
        device = choose_device(protocol.execution.device)
        progress = protocol.execution.progress
        write_part_predictions(run, protocol.recipe, seen, (EXAM,), device=device, progress=progress)


def protocol_split(protocol: str, known: TableData, exam: int, *, seed: int, per_class: int) -> Split:
    """Return the split that a protocol makes of what is neither test nor exam; its test part is scored."""
    inside, in_exam = in_folds(known.split, known.image_id), _in_exam(known, exam)
    open_to_all = inside & ~in_exam
    dataset = grouped_dataset(known, open_to_all)
    left_out = int((~open_to_all).sum())
    if protocol in {"resampled", "augmented"}:
        commonest = int(np.bincount(dataset.y).max())
        copies = draw_copies(dataset, per_class=min(per_class, commonest), seed=seed)
        if protocol == "augmented":
            copies = augmented_copies(copies, _AUGMENTED_TIMES)
        dataset, left_out = copied_dataset(dataset, copies)[0], 0
    try:
        made = make_split(dataset, by="lesion" if protocol == "lesion-split" else "image", seed=seed)
    except SplitError as error:
        raise SplitError(
            f"{protocol}, on the images outside test and the exam (fold {exam}): {error}"
        ) from error
    own: dict[str, Any] = {"of": known.split.fingerprint, "held_out": PROTOCOLS[protocol]}
    return Split(made.frame, {**made.meta, **own, "left_out": left_out})


def _in_exam(known: TableData, exam: int) -> NDArray[np.bool_]:
    fold = known.split.frame.set_index("image_id")["fold"].reindex(known.image_id).to_numpy()
    return np.asarray(fold == exam) & in_folds(known.split, known.image_id)


def _exam_fold(known: TableData, source: str) -> int:
    if known.split.leaky:
        raise SplitError(
            "Expected a split by lesion, so that the exam is clean, but this one is by image and leaks."
        )
    verify_whole(known.split, source)
    return fold_numbers(known.split, source)[0]
