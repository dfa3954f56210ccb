"""The results of the protocols of a leakage measurement.

Not here: making the runs (`leakage`).
"""

from dataclasses import asdict, dataclass, replace
from typing import Final

import numpy as np
import pandas as pd

from lesionwise.data.dataset import Dataset
from lesionwise.errors import RunError
from lesionwise.evaluation.predictions import Predictions, read_predictions
from lesionwise.evaluation.runs.scores import evaluate_predictions
from lesionwise.evaluation.scores.bootstrap import Estimate, spread_estimate
from lesionwise.evaluation.scores.decision import accuracy_score
from lesionwise.evaluation.scores.evaluate import draw_scores
from lesionwise.files import read_json, write_json, write_text
from lesionwise.labels import LEAKY_STAMP
from lesionwise.run_folder import RunFolder
from lesionwise.split.check import check_split
from lesionwise.split.split_file import read_split
from lesionwise.training.defects import copied_dataset, image_of, names_copies
from lesionwise.training.prepare import TableData, TrainingData

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
        repeated: Of those, copies of the very photograph.
        own: On its own test part, which is what a notebook reports.
        clean: On what is left of that without the tainted images.
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
    truth, group = predictions.y_true, predictions.group
    if truth is None or group is None:
        raise RunError("Expected predictions with y_true and group but one of them is missing.")
    images, lesions = len(truth), len(np.unique(group))
    if images == 0:
        return Measurement(0, 0, None, {}, "no image is left")
    baseline = float(np.bincount(truth).max() / images)
    present = len(np.unique(truth))
    if present == predictions.y_prob.shape[1]:
        overall = evaluate_predictions(predictions, "the predictions").overall
        return Measurement(images, lesions, baseline, {name: overall[name] for name in SCORES})
    drawn = draw_scores({"accuracy": accuracy_score}, truth, predictions.y_prob, group)["accuracy"]
    accuracy = spread_estimate(float(accuracy_score(truth, predictions.y_prob)), drawn)
    note = f"only {present} diagnoses are left" if present > 1 else "only one diagnosis is left"
    return Measurement(images, lesions, baseline, {"accuracy": accuracy}, note)


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
