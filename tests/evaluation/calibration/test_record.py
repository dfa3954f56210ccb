"""The record of a calibration, and its application with numpy alone."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from scipy.special import softmax as scipy_softmax

from evaluation.simulation import Simulated
from lesionwise.errors import RunError
from lesionwise.evaluation.calibration.record import (
    NO_PROMISE,
    Calibration,
    OperatingPoint,
    PredictionSets,
    VectorScaling,
    nonconformity,
    question_probability,
    read_calibration,
    softmax,
)
from lesionwise.labels import CODES

LIMITS: dict[str, float | Literal["no promise for this class"]] = {
    "akiec": 0.9,
    "bcc": 0.8,
    "bkl": 0.85,
    "df": NO_PROMISE,
    "mel": 0.97,
    "nv": 0.5,
    "vasc": 0.0,
}


def _record(**changes: object) -> dict[str, Any]:
    classes = {code: {"lesions": 20, "quantile": limit} for code, limit in LIMITS.items()}
    interval = {"value": 0.9, "low": 0.8, "high": 0.95}
    point = {"question": "melanoma", "aim": "sensitivity", "at_least": 0.9, "threshold": 0.2,
             "sensitivity": interval, "positives": 20, "negatives": 120}  # fmt: skip
    return {
        "scaling": {"method": "temperature", "temperature": 0.5},
        "prediction_sets": {"rule": "lac", "coverage": 0.9, "classes": classes},
        "operating_points": [point, {**point, "at_least": 0.95, "threshold": 0.1}],
        "images": 200, "lesions": 140, "fingerprint": "ab", **changes,
    }  # fmt: skip


def test_a_record_reads_back_as_itself(tmp_path: Path) -> None:
    calibration = Calibration.model_validate(_record())
    (tmp_path / "calibration.json").write_text(calibration.model_dump_json())
    assert read_calibration(tmp_path / "calibration.json") == calibration
    assert json.loads(calibration.model_dump_json())["schema_version"] == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"schema_version": 2},
        {"surprise": 1},
        {"scaling": {"method": "temperature", "temperature": 0}},
        {"scaling": {"method": "temperature", "temperature": float("inf")}},
        {"scaling": {"method": "isotonic"}},
        {"scaling": {"method": "vector", "factors": [1] * 6, "offsets": [0] * 7}},
        {"scaling": {"method": "vector", "factors": [1] * 7, "offsets": [float("nan")] * 7}},
        {"prediction_sets": {"rule": "lac", "coverage": 0.9, "classes": {}}},
        {"prediction_sets": {"rule": "raps", "coverage": 0.9, "classes": {}}},
        {"operating_points": [{"question": "melanoma"}]},
    ],
)
def test_a_record_that_makes_no_sense_is_refused(changes: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    path.write_text(json.dumps(_record(**changes)))
    with pytest.raises(RunError, match=r"calibration\.json: .* Run \"lesionwise calibrate"):
        read_calibration(path)


def test_a_file_that_is_no_json_or_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="cannot be read"):
        read_calibration(tmp_path / "calibration.json")
    (tmp_path / "calibration.json").write_text("{")
    with pytest.raises(RunError, match="not valid JSON"):
        read_calibration(tmp_path / "calibration.json")


def test_probabilities_are_those_of_the_scaled_logits() -> None:
    logits = np.random.default_rng(0).normal(scale=200, size=(50, 7))
    assert softmax(logits) == pytest.approx(scipy_softmax(logits, axis=1))
    calibration = Calibration.model_validate(_record())
    assert calibration.probabilities(logits) == pytest.approx(scipy_softmax(logits / 0.5, axis=1))
    factors, offsets = np.arange(1.0, 8), np.linspace(-1, 1, 7)
    vector = VectorScaling(factors=tuple(factors), offsets=tuple(offsets))
    expected = scipy_softmax(logits * factors + offsets, axis=1)
    assert vector.probabilities(logits) == pytest.approx(expected)


@pytest.mark.parametrize("rule", ["lac", "aps"])
def test_sets_hold_what_a_slow_loop_lets_in(rule: str, simulated: Simulated) -> None:
    classes = {code: {"lesions": 20, "quantile": limit} for code, limit in LIMITS.items()}
    sets = PredictionSets.model_validate({"rule": rule, "coverage": 0.9, "classes": classes})
    found = sets.contains(simulated.y_prob)
    for row, inside in zip(simulated.y_prob, found, strict=True):
        for index, code in enumerate(CODES):
            limit, own = LIMITS[code], row[index]
            own_score = 1 - own if rule == "lac" else min(1.0, sum(other for other in row if other > own))
            if index == row.argmax():
                own_score = 0.0
            assert inside[index] == (isinstance(limit, str) or own_score <= limit + 1e-15)


@pytest.mark.parametrize("rule", ["lac", "aps"])
def test_the_likeliest_is_in_every_set_and_so_is_what_nothing_was_promised_for(
    rule: str, simulated: Simulated
) -> None:
    classes: dict[str, dict[str, object]] = {code: {"lesions": 20, "quantile": 0.0} for code in CODES}
    classes["df"]["quantile"] = NO_PROMISE
    sets = PredictionSets.model_validate({"rule": rule, "coverage": 0.9, "classes": classes})
    inside = sets.contains(simulated.y_prob)
    assert inside[np.arange(len(inside)), simulated.y_prob.argmax(axis=1)].all()
    assert inside[:, CODES.index("df")].all()
    assert (nonconformity(simulated.y_prob, rule).min(axis=1) == 0).all()  # type: ignore[arg-type]


def test_a_decision_is_a_yes_from_the_threshold_on() -> None:
    y_prob = np.array([[0.1, 0, 0, 0, 0.2, 0.7, 0], [0.1, 0.2, 0, 0, 0.19, 0.51, 0]])
    assert question_probability(y_prob, "malignant") == pytest.approx([0.3, 0.49])
    calibration = Calibration.model_validate(_record())
    point = calibration.operating_point("melanoma")
    assert point is not None
    assert point.at_least == 0.9  # the first is served
    decided = point.decide(y_prob)
    assert decided is not None
    assert decided.tolist() == [True, False]
    assert calibration.operating_point("malignant") is None


def test_without_a_threshold_there_is_no_decision() -> None:
    point = OperatingPoint(
        question="malignant", aim="sensitivity", at_least=0.9, threshold=NO_PROMISE, positives=3, negatives=9
    )
    assert point.decide(np.eye(7)) is None


APPLIED = """
import sys
import numpy as np
from lesionwise.evaluation.calibration.record import read_calibration
from pathlib import Path
calibration = read_calibration(Path(sys.argv[1]))
prob = calibration.probabilities(np.eye(7))
assert calibration.prediction_sets.contains(prob).shape == (7, 7)
assert calibration.operating_point("melanoma").decide(prob).shape == (7,)
heavy = {"scipy", "pandas", "sklearn", "torch", "matplotlib"} & set(sys.modules)
assert not heavy, heavy
"""


def test_applying_needs_neither_scipy_nor_pandas_nor_scikit_learn(tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    path.write_text(json.dumps(_record()))
    done = subprocess.run([sys.executable, "-c", APPLIED, path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
