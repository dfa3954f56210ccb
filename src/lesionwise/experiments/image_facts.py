"""All that is known about the images of a run apart from their diagnosis: the table, and the skin's tone."""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from lesionwise.data.cache import data_fingerprint
from lesionwise.data.dataset import Dataset, read_dataset
from lesionwise.data.images import read_image
from lesionwise.data.layouts import is_data_folder
from lesionwise.data.masks import LesionMasks, find_masks, fit_mask
from lesionwise.data.preprocess import recipe_steps
from lesionwise.data.skin_tone import typology_angle
from lesionwise.errors import DataError, ImageError
from lesionwise.evaluation.predictions import read_predictions
from lesionwise.execution import usable_cores
from lesionwise.files import read_json
from lesionwise.progress import SILENT, Progress
from lesionwise.recipe import load_recipe
from lesionwise.run_folder import RunFolder

_SIZE: Final = (112, 150)  # skin is even: more pixels do not move the angle by a degree
_ANY_LESION: Final = 0.02  # of a pixel


@dataclass(frozen=True)
class RunImages:
    """The data folder of a run, as it is now.

    Attributes:
        dataset: The data; None if it is missing, or if the run has no data, such as somebody's predictions.
        missing: Why the data is missing, as a sentence without the place; empty if it is not.
        folder: Where the data lies, or lay.
    """

    dataset: Dataset | None = None
    missing: str = ""
    folder: Path | None = None


def run_images(run: RunFolder, image_ids: Iterable[str]) -> RunImages:
    """Return the data of a run, if its folder is still there and holds the predicted images."""
    trained = _trained(run)
    if not trained.data.is_file():
        gone = trained.path != run.path and not trained.path.is_dir()
        return RunImages(missing="A run of this ensemble no longer exists." if gone else "")
    folder = Path(read_json(trained.data)["folder"])
    if not is_data_folder(folder):
        return RunImages(missing="The data folder is no longer where it was.", folder=folder)
    dataset = read_dataset(folder)
    absent = set(image_ids) - set(dataset.table["image_id"])
    if absent or not is_data_of(trained, dataset):
        how = f"it has no image {min(absent)}" if absent else "its table or its files changed since"
        return RunImages(missing=f"The data folder is not the one that was predicted: {how}.", folder=folder)
    return RunImages(dataset, folder=folder)


def is_data_of(run: RunFolder, dataset: Dataset) -> bool:
    """Return whether a data set is the one that a run was trained with, by the contents of its files."""
    noted = read_json(run.data).get("fingerprint")
    if noted is None:
        return True
    recipe = load_recipe(run.config)
    return bool(noted == data_fingerprint(dataset, recipe.image_size, steps=recipe_steps(recipe)))


def about_part(run: RunFolder, part: str, *, progress: Progress = SILENT) -> tuple[pd.DataFrame | None, str]:
    """Return what is known about the predicted images of a part, or None and the reason."""
    ids = read_predictions(run.predictions(part)).image_id.tolist()
    images = run_images(run, ids)
    if images.dataset is not None:
        progress.on_data(images.dataset.about)
        return about_images(images.dataset, ids), ""
    place = f"{images.folder}: " if images.folder else ""
    return None, images.missing and f"{place}{images.missing} No subgroups are scored."


def _trained(run: RunFolder) -> RunFolder:
    """Return a run that saw the images: of an ensemble its first member, of a cross-validation its fold."""
    if run.ensemble.is_file():
        return _trained(RunFolder(Path(read_json(run.ensemble)["members"][0]["run"])))
    done = read_json(run.cross_validation)["done"] if run.cross_validation.is_file() else []
    return run.fold(done[0]) if done else run


def about_images(dataset: Dataset, image_ids: Sequence[str]) -> pd.DataFrame:
    """Return the rows of some images, with the estimated typology angle of their skin as `skin_tone`."""
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
