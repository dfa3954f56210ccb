"""A small bundle, exported once: PyTorch's exporter takes seconds."""

from collections.abc import Callable
from pathlib import Path

import pytest

from bundle.small_model import CALIBRATION, RECIPE, SIZE, describe, random_network, rejection
from lesionwise.bundle.load import Bundle, open_content, seal
from lesionwise.export.graph import BundleGraph, Exported, Member, to_onnx
from lesionwise.export.run import view


@pytest.fixture(scope="session")
def graph() -> BundleGraph:
    """The whole graph in PyTorch: a view that cuts and resizes, a network, a temperature, an OOD score."""
    return BundleGraph([Member(random_network(), view(RECIPE))], CALIBRATION.scaling, rejection()).eval()


@pytest.fixture(scope="session")
def exported(graph: BundleGraph) -> Exported:
    """The same as ONNX."""
    return to_onnx(graph, SIZE)


MakeBundle = Callable[..., Bundle]


@pytest.fixture
def make_bundle(exported: Exported, tmp_path: Path) -> MakeBundle:
    """A function that gives the small graph, or another one, a description."""

    def make(graph: bytes | None = None, **changes: object) -> Bundle:
        content = seal(graph or exported.content, describe(**changes))
        path = tmp_path / "model.onnx"
        path.write_bytes(content)
        return Bundle(path, content, "0" * 64, open_content(content))

    return make
