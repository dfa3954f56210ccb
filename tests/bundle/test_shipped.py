"""The model that ships with the package."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from conftest import ROOT
from lesionwise import load_model
from lesionwise.bundle.engine import Engine
from lesionwise.bundle.load import verify_servable
from lesionwise.data.dataset import read_dataset
from lesionwise.data.images import read_image
from lesionwise.labels import CODES


@pytest.fixture(scope="module")
def engine() -> Engine:
    return load_model(threads=1)


def test_it_is_small_licensed_and_servable(engine: Engine) -> None:
    verify_servable(engine.bundle)
    assert len(engine.bundle.content) <= 20_000_000
    assert engine.description.licence == "CC BY-NC 4.0"
    assert "not a medical device" in engine.description.card


def test_it_was_made_with_the_reference_split(engine: Engine) -> None:
    made = engine.description.provenance
    assert made
    assert made.split_fingerprint.startswith("f154f556c943")
    assert engine.description.calibration
    assert engine.description.calibration.split_fingerprint == made.split_fingerprint


def test_its_card_stands_beside_it_and_quotes_its_scores(engine: Engine) -> None:
    card = (ROOT / "src" / "lesionwise" / "weights" / "best.md").read_text(encoding="utf-8")
    assert card == engine.description.card
    for name, score in engine.description.scores["test"].overall.items():
        assert re.search(
            rf"^\| {name.replace('_', ' ')}.* \| {re.escape(str(score))} \|$", card, re.MULTILINE
        )
    assert "google-coral/test_data" in card  # where its first weights came from


def test_it_answers_the_real_images_as_its_run_did(engine: Engine, ham10000: Path) -> None:
    written = ROOT / "benchmarks" / "runs" / "best-lesion" / "predictions-cal.csv"
    if not written.is_file():
        pytest.skip("the predictions of the run are not in this checkout")
    predictions = pd.read_csv(written).sample(300, random_state=0)
    dataset, encoding = read_dataset(ham10000), engine.description.metadata
    assert encoding
    place = {image: row for row, image in enumerate(dataset.table["image_id"])}
    rows = [place[image] for image in predictions["image_id"]]
    paths = [dataset.paths[row] for row in rows]
    answers = engine.predict(paths, encoding.known(dataset.records(rows, encoding.names)))
    expected = predictions[[f"logit_{code}" for code in CODES]].to_numpy()
    assert np.abs(answers.logits - expected).max() < 1e-4
    assert engine.description.calibration
    calibrated = engine.description.calibration.probabilities(expected)
    assert np.abs(answers.probabilities - calibrated).max() < 1e-4
    assert answers.cam is not None
    alone = engine.predict(paths[:30])  # age, sex and site have no place in the image
    assert np.abs(answers.cam[:30].mean((2, 3)) - alone.logits).max() < 1e-4
    assert np.abs(answers.logits[:30] - alone.logits).max() > 0.1
    rule = engine.description.input
    assert np.array_equal(engine.read(paths[0]), read_image(paths[0], rule.size))
