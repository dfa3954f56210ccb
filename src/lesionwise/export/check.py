"""Comparing a bundle with its run, on the run's own images, before the file is written.

Here: those images, and the comparison. Not here: comparing the graph with PyTorch (`graph`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from lesionwise.arrays import Float32s, Integers, Pixels
from lesionwise.bundle.engine import BATCH, Engine
from lesionwise.data.dataset import read_dataset
from lesionwise.errors import BundleError, RunError
from lesionwise.evaluation.calibration.record import softmax
from lesionwise.evaluation.predictions import Predictions
from lesionwise.evaluation.runs.predictions import read_run_predictions
from lesionwise.files import read_json
from lesionwise.run_folder import RunFolder
from lesionwise.wording import counted

TOLERANCE: Final = 0.02
"""Accepted difference of a probability from the one in the run's predictions: a GPU rounds more coarsely."""

_IMAGES: Final = 16


@dataclass(frozen=True)
class PartImages:
    """The predicted images of a part of a run, as far as they are files.

    Attributes:
        metadata: Encoded, shape (N, M); None for a model that takes only images.
        predictions: The run's predictions for them.
    """

    engine: Engine
    paths: Sequence[Path]
    metadata: Float32s | None
    predictions: Predictions

    @property
    def y_true(self) -> Integers:
        """Class index of each image."""
        if self.predictions.y_true is None:
            raise RunError("Expected the predictions of a run to have the diagnoses.")
        return self.predictions.y_true

    def rows(self, most: int | None = None) -> range:
        """Return the rows of at most so many images, spread evenly; all if left out."""
        return range(0, len(self.paths), max(1, -(-len(self.paths) // most)) if most else 1)

    def batches(self, most: int | None = None) -> Iterator[tuple[Pixels, Float32s | None]]:
        """Yield pixels and encoded metadata of the images in `rows(most)`."""
        rows = self.rows(most)
        for start in range(0, len(rows), BATCH):
            some = rows[start : start + BATCH]
            pixels = np.stack([self.engine.read(self.paths[row]) for row in some])
            yield pixels, None if self.metadata is None else self.metadata[some]


def data_folder(run: RunFolder) -> Path:
    """Return the data folder that a run was trained on, which may not exist any more."""
    return Path(read_json(run.data)["folder"])


def read_run_images(engine: Engine, run: RunFolder, member: RunFolder, part: str) -> PartImages:
    """Return the images of a part of a run. `member`: a run that knows the data folder."""
    dataset = read_dataset(data_folder(member))
    place = {name: row for row, name in enumerate(dataset.table["image_id"])}
    predictions = read_run_predictions(run, part)
    predictions = predictions.take(np.array([name in place for name in predictions.image_id]))  # no copies
    rows, paths = [place[name] for name in predictions.image_id], dataset.paths
    known = engine.encode(engine.known(dataset, rows) or [])
    return PartImages(engine, [paths[row] for row in rows], known, predictions)


def verify_as_predicted(engine: Engine, run: RunFolder, runs: Sequence[RunFolder]) -> int:
    """Make sure that a bundle answers like its run on a few images, and return their number.

    They are of `val`, or of `cal` if val was trained on. This finds what no comparison of graphs can: other
    weights or members than those that were calibrated. Without the data folder, nothing can be compared.
    """
    folder = data_folder(runs[0])
    if not folder.is_dir():
        return 0
    part = "val" if run.predictions("val").is_file() else "cal"
    images = read_run_images(engine, run, runs[0], part)
    rows, predictions = images.rows(_IMAGES), images.predictions
    found = engine.answers([engine.run(*batch) for batch in images.batches(_IMAGES)])
    differences = [np.abs(found.probabilities - predictions.y_prob[rows]).max(initial=0)]
    if predictions.logits is not None:  # a calibration can hide differences before it
        differences.append(np.abs(softmax(found.logits) - softmax(predictions.logits[rows])).max(initial=0))
    difference = float(np.max(differences))
    if not difference <= TOLERANCE:
        raise BundleError(
            f"{engine.bundle.path}: was not written: on {counted(len(rows), 'image')} of {part} its "
            f"probabilities differ by up to {difference:.2g} from those in {run.predictions(part)}. Weights, "
            f"a member or the images in {folder} were changed since. Make the run or the ensemble again."
        )
    return len(rows)
