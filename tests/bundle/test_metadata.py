from pathlib import Path

import numpy as np
import pytest
import torch

from bundle.small_model import CALIBRATION, RECIPE, SIZE, describe, images, random_network
from lesionwise.bundle.engine import Engine
from lesionwise.bundle.load import Bundle, assemble
from lesionwise.bundle.runtimes import RUNTIMES, Runtime
from lesionwise.data.metadata import Record, encoding_of
from lesionwise.errors import BundleError, DataError
from lesionwise.export.graph import BundleGraph, Exported, Member, to_onnx, verify_parity
from lesionwise.export.run import view
from lesionwise.models.network import MetadataTerm

FIELDS = encoding_of(("age", "sex", "localization"))
OUTPUTS = ("probabilities", "logits", "embedding", "cam")
KNOWN: Record = {"age": 70, "sex": "male", "localization": "face"}


@pytest.fixture(scope="module")
def told_graph() -> BundleGraph:
    """A graph that listens to age, sex and site."""
    network = random_network()
    network.metadata = MetadataTerm(FIELDS.length, 7, hidden=8)
    torch.nn.init.normal_(network.metadata.linear.weight)
    return BundleGraph([Member(network, view(RECIPE))], CALIBRATION.scaling).eval()


@pytest.fixture(scope="module")
def told_onnx(told_graph: BundleGraph) -> Exported:
    """The same as ONNX."""
    return to_onnx(told_graph, SIZE, metadata=FIELDS.length)


@pytest.fixture
def told(told_onnx: Exported, tmp_path: Path) -> Bundle:
    """The same as a bundle."""
    description = describe(metadata=FIELDS, outputs=OUTPUTS)
    return assemble(told_onnx.content, description, tmp_path / "told.onnx")


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_bundle_that_is_told_more_answers_as_its_network_does(
    told: Bundle, told_graph: BundleGraph, runtime: Runtime
) -> None:
    if runtime == "onnxruntime":
        pytest.importorskip("onnxruntime")
    engine = Engine(told, runtime=runtime, threads=1)
    assert verify_parity(told_graph, engine) < 1e-4


def test_what_is_left_out_in_whole_or_in_part_is_not_known(told: Bundle) -> None:
    engine, pictures = Engine(told, threads=1), list(images(3))
    alone = engine.predict(pictures)
    empty = engine.predict(pictures, [None, {}, {"age": "", "sex": "unknown"}])
    assert np.array_equal(alone.probabilities, empty.probabilities)
    known = engine.predict(pictures, [KNOWN] * 3)
    assert alone.cam is not None
    assert known.cam is not None
    assert np.array_equal(alone.cam, known.cam)
    partly = engine.predict(pictures, [KNOWN, {"age": 70}, None]).probabilities
    differs = np.abs(partly - alone.probabilities).max(1) > 1e-4
    assert differs.tolist() == [True, True, False]
    assert alone.cam is not None
    np.testing.assert_allclose(alone.cam.mean((2, 3)), alone.logits, atol=1e-3)


def test_one_record_holds_for_all_images(told: Bundle) -> None:
    engine, pictures = Engine(told, threads=1), list(images(3))
    expected = engine.predict(pictures, [KNOWN] * 3).probabilities
    assert np.array_equal(engine.predict(pictures, KNOWN).probabilities, expected)


def test_one_image_takes_one_record(told: Bundle) -> None:
    engine, picture = Engine(told, threads=1), images(1)[0]
    assert np.array_equal(
        engine.predict(picture, KNOWN).probabilities, engine.predict([picture], [KNOWN]).probabilities
    )


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([{"sex": "x"}, None], r"told\.onnx: expected sex to be female or male"),
        ([{"dx_type": "histo"}, None], "does not take dx_type; it takes age, sex, localization"),
        ([KNOWN], "their numbers differ"),
        ([KNOWN, KNOWN, KNOWN], "their numbers differ"),
    ],
    ids=["odd value", "odd name", "too few", "too many"],
)
def test_records_that_do_not_fit_are_refused(told: Bundle, records: list[object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        Engine(told, threads=1).predict(list(images(2)), records)  # type: ignore[arg-type]


def test_a_model_of_images_alone_has_one_input_and_refuses_metadata(
    exported: Exported, tmp_path: Path
) -> None:
    bundle = assemble(exported.content, describe(), tmp_path / "alone.onnx")
    assert b'"metadata"' not in bundle.content
    engine = Engine(bundle, threads=1)
    with pytest.raises(DataError, match=r"alone\.onnx: takes only images and no metadata"):
        engine.predict(list(images(1)), [KNOWN])
    assert len(engine.predict(list(images(1)), [None])) == 1


def test_a_description_that_does_not_fit_the_inputs_is_refused(
    exported: Exported, told_onnx: Exported, tmp_path: Path
) -> None:
    for content, metadata in (
        (exported.content, FIELDS),
        (told_onnx.content, None),
        (told_onnx.content, encoding_of(("age",))),
    ):
        outputs = OUTPUTS if content is told_onnx.content else describe().outputs
        with pytest.raises(BundleError, match=r"expected .*the input metadata: float32"):
            assemble(content, describe(metadata=metadata, outputs=outputs), tmp_path / "odd.onnx")
