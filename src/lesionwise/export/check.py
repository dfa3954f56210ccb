"""Is a bundle the model that its run was? Compared on the run's own images, before the file is written."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from lesionwise.bundle.engine import Engine
from lesionwise.data.dataset import read_dataset
from lesionwise.errors import BundleError
from lesionwise.evaluation.calibration.record import softmax
from lesionwise.evaluation.runs.predictions import read_run_predictions
from lesionwise.files import read_json
from lesionwise.run_folder import RunFolder
from lesionwise.wording import counted

TOLERANCE: Final = 0.02
"""By how much a probability may differ from the one that the run wrote: a GPU rounds coarser."""

_IMAGES: Final = 16


def verify_as_predicted(engine: Engine, run: RunFolder, runs: Sequence[RunFolder]) -> int:
    """Make sure on a few images that a bundle answers as its run did, and return how many they were.

    They are of `val`, or of `cal` where val was trained on, and catch what no comparison of graphs can: other
    weights or members than those that were calibrated. Where the data folder is gone there is
    nothing to compare with.
    """
    folder = Path(read_json(runs[0].data)["folder"])
    if not folder.is_dir():
        return 0
    dataset = read_dataset(folder)
    paths, place = dataset.paths, {name: row for row, name in enumerate(dataset.table["image_id"])}
    part = "val" if run.predictions("val").is_file() else "cal"
    predictions = read_run_predictions(run, part)
    rows = [row for row, name in enumerate(predictions.image_id) if name in place]  # copies are no files
    rows = rows[:: -(-len(rows) // _IMAGES) or 1]
    encoding = engine.description.metadata
    images = [place[predictions.image_id[row]] for row in rows]
    metadata = encoding.known(dataset.records(images, encoding.names)) if encoding else None
    found = engine.predict((paths[image] for image in images), metadata)
    differences = [np.abs(found.probabilities - predictions.y_prob[rows]).max(initial=0)]
    if predictions.logits is not None:  # a calibration can hide what stands before it
        differences.append(np.abs(softmax(found.logits) - softmax(predictions.logits[rows])).max(initial=0))
    difference = float(np.max(differences))
    if not difference <= TOLERANCE:
        raise BundleError(
            f"{engine.bundle.path}: was not written: on {counted(len(rows), 'image')} of {part} its "
            f"probabilities differ by up to {difference:.2g} from those in {run.predictions(part)}. "
            f"Weights, a member or the images in {folder} were changed since. Make the run or the ensemble "
            "anew."
        )
    return len(rows)
