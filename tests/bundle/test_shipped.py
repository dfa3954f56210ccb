"""The models that ship with the package."""

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from conftest import ROOT
from lesionwise import load_model
from lesionwise.bundle.answers import Answers
from lesionwise.bundle.engine import Engine
from lesionwise.bundle.load import SHIPPED, read_bundle, verify_servable
from lesionwise.data.dataset import read_dataset
from lesionwise.data.images import read_image
from lesionwise.labels import CODES


@pytest.fixture(scope="module")
def engine() -> Engine:
    return load_model(threads=1)


def _answers(engine: Engine, folder: Path, image_ids: Iterable[str]) -> tuple[list[Path], Answers]:
    """Return the files of some images, and what an engine says that is told all that the table knows."""
    dataset, encoding = read_dataset(folder), engine.description.metadata
    assert encoding
    place = {image: row for row, image in enumerate(dataset.table["image_id"])}
    rows = [place[image] for image in image_ids]
    paths = [dataset.paths[row] for row in rows]
    return paths, engine.predict(paths, encoding.known(dataset.records(rows, encoding.names)))


@pytest.mark.parametrize("name", SHIPPED)
def test_each_is_small_licensed_and_servable(name: str) -> None:
    bundle = read_bundle(name)
    verify_servable(bundle)
    assert bundle.description.name == name
    assert len(bundle.content) <= 20_000_000
    assert bundle.description.licence == "CC BY-NC 4.0"
    assert "not a medical device" in bundle.description.card
    card = (ROOT / "src" / "lesionwise" / "weights" / f"{name}.md").read_text(encoding="utf-8")
    assert card == bundle.description.card


@pytest.mark.parametrize("name", SHIPPED)
def test_no_answer_depends_on_the_order_of_ties(name: str) -> None:
    """OpenVINO's TopK and ArgMax break ties otherwise than ONNX says; the graphs use neither."""
    onnx = pytest.importorskip("onnx")
    kinds = {node.op_type for node in onnx.load_from_string(read_bundle(name).content).graph.node}
    assert "Conv" in kinds
    assert not kinds & {"TopK", "ArgMax", "ArgMin"}


@pytest.mark.parametrize("name", SHIPPED)
def test_each_was_made_with_the_reference_split(name: str) -> None:
    description = read_bundle(name).description
    made = description.provenance
    assert made
    assert made.split_fingerprint.startswith("f154f556c943")
    assert description.calibration
    assert description.calibration.split_fingerprint == made.split_fingerprint


def test_the_larger_one_answers_as_its_run_did(ham10000: Path) -> None:
    """Its weights have sixteen bits: on `cal` probabilities differ by up to .008."""
    written = ROOT / "benchmarks" / "runs" / "larger-averaged-lesion" / "predictions-cal.csv"
    predictions = pd.read_csv(written).sample(40, random_state=0)
    _, answers = _answers(load_model("larger", threads=1), ham10000, predictions["image_id"])
    expected = predictions[[f"prob_{code}" for code in CODES]].to_numpy()
    assert 0 < np.abs(answers.probabilities - expected).max() < 0.01
    assert answers.cam is None


def test_the_card_of_the_default_quotes_its_scores(engine: Engine) -> None:
    card = engine.description.card
    for name, score in engine.description.scores["test"].overall.items():
        assert re.search(
            rf"^\| {name.replace('_', ' ')}.* \| {re.escape(str(score))} \|$", card, re.MULTILINE
        )
    assert "google-coral/test_data" in card  # where its first weights came from


def test_it_answers_the_real_images_as_its_run_did(engine: Engine, ham10000: Path) -> None:
    written = ROOT / "benchmarks" / "runs" / "best-twice-lesion" / "predictions-cal.csv"
    if not written.is_file():
        pytest.skip("the predictions of the run are not in this checkout")
    predictions = pd.read_csv(written).sample(300, random_state=0)
    paths, answers = _answers(engine, ham10000, predictions["image_id"])
    expected = predictions[[f"logit_{code}" for code in CODES]].to_numpy()
    assert np.abs(answers.logits - expected).max() < 1e-4
    assert engine.description.calibration
    calibrated = engine.description.calibration.probabilities(expected)
    assert np.abs(answers.probabilities - calibrated).max() < 1e-4
    assert answers.cam is not None
    alone = engine.predict(paths[:30])  # age, sex and site have no place in the image
    assert alone.cam is not None
    assert np.abs(alone.cam.mean((2, 3)) - alone.logits).max() < 1e-4
    assert np.abs(answers.logits[:30] - alone.logits).max() > 0.1
    rule = engine.description.input
    assert np.array_equal(engine.read(paths[0]), read_image(paths[0], rule.size))
