"""What a leak is worth: one recipe, one set of images, four ways of putting some of them aside for testing.

Here: the four protocols and their results. Not here: training (`training.run`), the copies
(`training.defects`), the figure and the page (`lesionwise.report`).

The test part of the split is left alone. One of its other folds, the first, is the exam: no protocol trains
on it. The rest is what the four protocols deal out, each in its own way.

    config.toml  split.csv  leakage.json  leakage.csv
    splits/<protocol>.csv   what the protocol dealt out
    <protocol>/             its run folder; with predictions-exam.csv it is finished, and never repeated
"""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from lesionwise.arrays import Booleans
from lesionwise.data.dataset import Dataset
from lesionwise.errors import SplitError
from lesionwise.evaluation.predictions import Predictions, read_predictions
from lesionwise.evaluation.runs.scores import evaluate_predictions
from lesionwise.evaluation.scores.bootstrap import Estimate
from lesionwise.execution import Execution
from lesionwise.experiments.folder import Experiment, HeldOut
from lesionwise.experiments.sharing import finish_all
from lesionwise.files import read_json, sole_writer, write_json, write_text
from lesionwise.labels import CODES, LEAKY_STAMP
from lesionwise.recipe import Recipe, load_recipe
from lesionwise.run_folder import RunFolder
from lesionwise.split.assign import fold_numbers, in_folds, make_split, verify_whole
from lesionwise.split.check import check_split
from lesionwise.split.split_file import Split, read_split
from lesionwise.training.defects import augmented_copies, copied_dataset, draw_copies, image_of, names_copies
from lesionwise.training.fit import write_part_predictions
from lesionwise.training.loop.hardware import choose_device
from lesionwise.training.prepare import TableData, TrainingData, prepare

TABLE: Final = "leakage.csv"
EXAM: Final = "exam"
SCORES: Final = ("accuracy", "balanced_accuracy", "macro_f1", "macro_auc")
PROTOCOLS: Final = {
    "lesion-split": "split by lesion",
    "image-split": "split by image",
    "resampled": "every class resampled to the same number, then split",
    "augmented": "resampled, augmented copies added, then split",
}
"""Each way of splitting, the honest one first."""

PER_CLASS: Final = 500  # what the seeds' notebooks draw of each class
_AUGMENTED_TIMES: Final = 3  # three changed copies beside each drawn image


@dataclass(frozen=True)
class Measurement:
    """Scores of one model on one set of images.

    Attributes:
        baseline: Accuracy of always answering the diagnosis that is commonest there; None of no image.
        scores: Estimates by score; without `balanced_accuracy` where a diagnosis has no image.
        note: Why scores are missing; empty if none are.
    """

    images: int
    lesions: int
    baseline: float | None
    scores: dict[str, Estimate]
    note: str = ""


@dataclass(frozen=True)
class Outcome:
    """The result of one protocol.

    Attributes:
        leaky: Whether lesions are on both sides of its split.
        trained: Images, or copies, that the model was made with: train, val and cal.
        tainted: Images of its own test part that show a lesion that the model was made with.
        repeated: Number of them whose very photograph the model was made with.
        own: On its own test part, which is what a notebook reports.
        clean: On its own test part without the tainted images.
        exam: On lesions that no protocol saw.
    """

    protocol: str
    leaky: bool
    trained: int
    tainted: int
    repeated: int
    own: Measurement
    clean: Measurement
    exam: Measurement

    @property
    def title(self) -> str:
        """The protocol in words."""
        return PROTOCOLS[self.protocol]


def judge(run: RunFolder, known: TrainingData) -> Outcome:
    """Score what a protocol predicted, on its own test part, on the clean rest of it, and on the exam."""
    split = read_split(run.split)
    kept, tested = split.image_ids("train", "val", "cal").tolist(), split.image_ids("test").tolist()
    own = read_predictions(run.predictions("test"))
    images = grouped_dataset(known, np.ones(len(known.y), dtype=bool))
    copies = names_copies(tested, images)
    table = (copied_dataset(images, [*kept, *tested])[0] if copies else images).table
    lesion = dict(zip(known.image_id, known.group, strict=True))  # joined as the split joins them
    shown = [image_of(name) if copies else name for name in own.image_id]
    own = replace(own, group=np.array([lesion[name] for name in shown]))
    check = check_split(kept, tested, table)
    photographs = {image_of(name) for name in kept} if copies else set()
    hit = np.isin(own.image_id, list(check.tainted))
    return Outcome(
        protocol=run.path.name,
        leaky=split.leaky,
        trained=len(kept),
        tainted=len(check.tainted),
        repeated=sum(image_of(name) in photographs for name in tested) if copies else 0,
        own=measure(own),
        clean=measure(own.take(~hit)),
        exam=measure(read_predictions(run.predictions(EXAM))),
    )


def measure(predictions: Predictions) -> Measurement:
    """Return scores with intervals; of accuracy alone where not every diagnosis has an image."""
    truth, group = predictions.known("the predictions")
    images, lesions = len(truth), len(np.unique(group))
    if images == 0:
        return Measurement(0, 0, None, {}, "no image is left")
    baseline = float(np.bincount(truth).max() / images)
    evaluation = evaluate_predictions(predictions, "the predictions")
    present = len(evaluation.diagnoses)
    if present == len(CODES):
        return Measurement(images, lesions, baseline, {name: evaluation.overall[name] for name in SCORES})
    note = f"only {present} diagnoses are left" if present > 1 else "only one diagnosis is left"
    return Measurement(images, lesions, baseline, {"accuracy": evaluation.overall["accuracy"]}, note)


def grouped_dataset(known: TableData, rows: np.ndarray) -> Dataset:
    """Return some rows of the table with the group of each image, hidden pairs joined, as its lesion."""
    table = known.dataset.table.assign(lesion_id=known.group)[rows].reset_index(drop=True)
    return replace(known.dataset, table=table)


def write_outcomes(folder: RunFolder, outcomes: list[Outcome]) -> None:
    """Write `leakage.csv`, a row for each score, and the same into `leakage.json`."""
    rows = []
    for outcome in outcomes:
        for where in ("own", "clean", "exam"):
            measured: Measurement = getattr(outcome, where)
            facts = {
                "protocol": outcome.protocol,
                "stamp": LEAKY_STAMP if outcome.leaky else "",
                "measured_on": where,
                "images": measured.images,
                "lesions": measured.lesions,
            }
            rows += [{**facts, "score": name, **vars(value)} for name, value in measured.scores.items()]
    table = pd.DataFrame(rows).to_csv(index=False, float_format="%.6g", lineterminator="\n")
    write_text(folder.path / TABLE, table)
    record = read_json(folder.leakage)
    stamped = [{**asdict(o), "stamp": LEAKY_STAMP if o.leaky else None} for o in outcomes]
    write_json(folder.leakage, {**record, "outcomes": stamped})


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
    """Train a recipe under four protocols; score each on its own test images and on lesions that nobody saw.

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


def _in_exam(known: TableData, exam: int) -> Booleans:
    fold = known.split.frame.set_index("image_id")["fold"].reindex(known.image_id).to_numpy()
    return np.asarray(fold == exam) & in_folds(known.split, known.image_id)


def _exam_fold(known: TableData, source: str) -> int:
    if known.split.leaky:
        raise SplitError(
            "Expected a split by lesion, so that the exam is clean, but this one is by image and leaks."
        )
    verify_whole(known.split, source)
    return fold_numbers(known.split, source)[0]
