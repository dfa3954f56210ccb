"""All that is known about the images of a run apart from their diagnosis: the table, and the skin's tone.

Here: gathering it for scores of subgroups. Not here: the scores
(`lesionwise.evaluation.scores.subgroups`); no model is given any of it.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from lesionwise.data.dataset import Dataset, read_dataset
from lesionwise.data.images import read_image
from lesionwise.data.masks import LesionMasks, find_masks, fit_mask
from lesionwise.data.skin_tone import typology_angle
from lesionwise.data.workspace import usable_cores
from lesionwise.errors import DataError, ImageError, LesionwiseError
from lesionwise.evaluation.predictions import read_predictions
from lesionwise.evaluation.runs.ensemble import trained_runs
from lesionwise.files import read_json
from lesionwise.run_folder import RunFolder

_SIZE: Final = (112, 150)  # skin is even: more pixels do not move the angle by a degree
_ANY_LESION: Final = 0.02  # of a pixel


def about_part(run: RunFolder, part: str) -> pd.DataFrame | None:
    """Return what is known about the predicted images of a part, or None if the data is no longer there.

    Args:
        run: A trained run, an ensemble or a cross-validation.
        part: Whose predictions are there.
    """
    try:
        dataset = read_dataset(read_json(trained_runs(run)[0].data)["folder"])
        return about_images(dataset, read_predictions(run.predictions(part)).image_id.tolist())
    except (LesionwiseError, KeyError):
        return None


def about_images(dataset: Dataset, image_ids: Sequence[str]) -> pd.DataFrame:
    """Return the rows of some images, with the estimated typology angle of their skin as `skin_tone`.

    Args:
        dataset: Which holds them.
        image_ids: In the order of the result.

    Raises:
        KeyError: If an image is not in the data set.
    """
    known = dataset.table.set_index("image_id", drop=False).loc[list(image_ids)].reset_index(drop=True)
    masks = find_masks(dataset.folder)
    paths = [dataset.folder / path for path in known["path"]]
    with ThreadPoolExecutor(usable_cores()) as pool:
        angles = list(pool.map(partial(_angle, masks=masks), paths, image_ids))
    return known.assign(skin_tone=np.asarray(angles))


def _angle(path: Path, image_id: str, *, masks: LesionMasks | None) -> float:
    try:
        pixels = read_image(path, _SIZE)
        mask = fit_mask(masks.read(image_id), _SIZE) > _ANY_LESION if masks and image_id in masks else None
    except (ImageError, DataError):
        return float("nan")
    return typology_angle(pixels, mask)
