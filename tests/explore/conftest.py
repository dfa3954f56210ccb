"""A small drawn data set with masks, explored once."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import WriteKaggle
from lesionwise.data.dataset import read_dataset
from lesionwise.data.masks import ARCHIVE, SUFFIX
from lesionwise.execution import Execution
from lesionwise.explore.explore import Exploration, explore_folder
from lesionwise.explore.page import write_exploration


@pytest.fixture(scope="session")
def masked_folder(tmp_path_factory: pytest.TempPathFactory, write_kaggle: WriteKaggle) -> Path:
    """Coloured noise, with an ellipse of another size as the mask of each image."""
    folder = write_kaggle(tmp_path_factory.mktemp("masked") / "data", lesions=4)
    y, x = np.mgrid[0:30, 0:40]
    with zipfile.ZipFile(folder / ARCHIVE, "w") as archive:
        for number, image_id in enumerate(read_dataset(folder).table["image_id"]):
            inside = ((y - 15) / (6 + number % 7)) ** 2 + ((x - 20) / (8 + number % 5)) ** 2 < 1
            buffer = io.BytesIO()
            Image.fromarray(inside.astype(np.uint8) * 255).save(buffer, "PNG")
            archive.writestr(f"{image_id}{SUFFIX}", buffer.getvalue())
    return folder


@pytest.fixture(scope="session")
def explored(masked_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Exploration:
    return explore_folder(masked_folder, execution=Execution(cache_root=tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="session")
def page(explored: Exploration, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_exploration(explored, tmp_path_factory.mktemp("page"))
