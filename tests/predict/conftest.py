"""A model file to predict with: that of the bundle's tests."""

from pathlib import Path

import pytest

from bundle.conftest import exported, graph  # noqa: F401 (pytest finds fixtures by name)
from bundle.small_model import describe
from lesionwise.bundle.engine import Engine, load_model
from lesionwise.bundle.load import seal
from lesionwise.export.graph import Exported


@pytest.fixture(scope="session")
def model(exported: Exported, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: F811
    """A bundle on disk."""
    path = tmp_path_factory.mktemp("model") / "model.onnx"
    path.write_bytes(
        seal(exported.content, describe(input=describe().input.model_copy(update={"zoom": 1.5})))
    )
    return path


@pytest.fixture(scope="session")
def engine(model: Path) -> Engine:
    """The same, ready to answer."""
    return load_model(model)
