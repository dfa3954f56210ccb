"""A small drawn data set with masks, explored once."""

from pathlib import Path

import pytest

from lesionwise.data.phantom import write_phantom
from lesionwise.explore.explore import Exploration, explore_folder
from lesionwise.explore.page import write_exploration


@pytest.fixture(scope="session")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_phantom(tmp_path_factory.mktemp("phantom") / "data", lesions_per_class=3)


@pytest.fixture(scope="session")
def explored(phantom: Path, tmp_path_factory: pytest.TempPathFactory) -> Exploration:
    return explore_folder(phantom, cache_root=tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def page(explored: Exploration, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_exploration(explored, tmp_path_factory.mktemp("page"))
