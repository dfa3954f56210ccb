"""A hand-made model whose embedding is the colour of each tile, and a gallery of drawn pictures."""

from pathlib import Path

import pytest

from lesionwise.bundle.engine import Engine, load_model
from lesionwise.data.dataset import Dataset
from lesionwise.gallery.gallery import Gallery
from lesionwise.predict.gallery import make_gallery
from serve.drawn_model import write_bundle

OUTPUTS = ("probabilities", "logits", "embedding", "ood_score", "cam")


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model's file."""
    return write_bundle(tmp_path_factory.mktemp("model") / "colours.onnx", outputs=OUTPUTS)


@pytest.fixture(scope="session")
def engine(model: Path) -> Engine:
    """The same, loaded."""
    return load_model(model, threads=1)


@pytest.fixture(scope="session")
def gallery(engine: Engine, drawn: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Gallery:
    """A written gallery with pictures; not to be changed."""
    path = tmp_path_factory.mktemp("gallery") / "drawn.safetensors"
    made, faults = make_gallery(engine, drawn, path, pictures=True, licence="CC0-1.0")
    assert not faults
    return made.write()
