"""From a run's `cal` predictions to calibration.json, and from there to what the run answers."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from conftest import make_recipe
from evaluation.simulation import Simulated, simulate
from lesionwise.errors import DataError, RunError
from lesionwise.evaluation.calibration.check import CalibrationCheck, check_calibration, stated_share_table
from lesionwise.evaluation.calibration.record import NO_PROMISE, read_calibration, softmax
from lesionwise.evaluation.predictions import Predictions, read_predictions, write_predictions
from lesionwise.evaluation.runs import scores as run_scores
from lesionwise.evaluation.runs.calibrate import calibrate, calibrate_run
from lesionwise.evaluation.runs.predictions import read_run_predictions, run_probabilities
from lesionwise.evaluation.runs.scores import evaluate_part, read_check
from lesionwise.evaluation.scores.evaluate import evaluate
from lesionwise.files import read_json, write_json
from lesionwise.labels import CODES
from lesionwise.run_folder import RunFolder


def _predictions(sample: Simulated, *, sharpness: float = 2.0) -> Predictions:
    logits = sharpness * np.log(sample.y_prob)
    ids = np.array([f"I{index:05d}" for index in range(len(logits))])
    return Predictions(ids, softmax(logits), sample.y_true, sample.groups, logits)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    monkeypatch.setattr(run_scores, "evaluate", lambda *sample: evaluate(*sample, resamples=30))
    run = RunFolder(tmp_path / "run")
    run.path.mkdir()
    run.config.write_text(make_recipe().to_toml())
    run.split.with_suffix(".json").write_text(json.dumps({"fingerprint": "ab"}))
    for seed, part in enumerate(("val", "cal", "test")):
        write_predictions(_predictions(simulate(seed=seed, digits=6)), run.predictions(part))
    return run


def test_a_calibration_on_lesions_that_were_trained_on_is_stamped(run: RunFolder) -> None:
    calibrate_run(run)
    assert read_calibration(run.calibration).stamp is None
    run.split.with_suffix(".json").write_text(json.dumps({"fingerprint": "ab", "stamp": "LEAKY SPLIT"}))
    calibrate_run(run)
    assert read_json(run.calibration)["stamp"] == "LEAKY SPLIT"
    assert read_calibration(run.calibration).stamp == "LEAKY SPLIT"


def test_a_run_answers_with_calibrated_probabilities_wherever_it_is_read(run: RunFolder) -> None:
    raw = read_predictions(run.predictions("val"))
    assert read_run_predictions(run, "val").y_prob.tolist() == raw.y_prob.tolist()
    calibration = calibrate_run(run)
    assert raw.logits is not None
    expected = calibration.probabilities(raw.logits)
    assert np.abs(expected - raw.y_prob).max() > 0.05
    assert read_run_predictions(run, "val").y_prob == pytest.approx(expected)
    for part in ("val", "cal", "test"):
        written = read_predictions(run.predictions(part))
        assert written.y_prob == pytest.approx(read_run_predictions(run, part).y_prob, abs=1e-6)
    assert read_predictions(run.predictions("val")).logits == pytest.approx(raw.logits)
    # Whatever stands in the file, what is read is the present calibration.
    assert read_run_predictions(run, "test").y_prob == pytest.approx(
        run_probabilities(run, read_predictions(run.predictions("test")).logits)  # type: ignore[arg-type]
    )


def test_calibrating_twice_is_calibrating_once(run: RunFolder) -> None:
    first = calibrate_run(run)
    files = {path: path.read_bytes() for path in run.path.iterdir()}
    assert calibrate_run(run) == first
    assert {path: path.read_bytes() for path in run.path.iterdir()} == files


def test_the_recipe_says_how_and_a_caller_may_say_otherwise(run: RunFolder) -> None:
    assert calibrate_run(run).scaling.method == "temperature"
    run.config.write_text(make_recipe(calibration="vector").to_toml())
    assert calibrate_run(run).scaling.method == "vector"
    run.config.write_text('ensemble = ["a", "b"]')  # no recipe
    assert calibrate_run(run).scaling.method == "temperature"
    asked = calibrate_run(
        run, method="temperature", rule="aps", coverage=0.8, points=[("melanoma", "specificity", 0.7)]
    )
    assert asked.scaling.method == "temperature"
    assert (asked.prediction_sets.rule, asked.prediction_sets.coverage) == ("aps", 0.8)
    assert [point.aim for point in asked.operating_points] == ["specificity"]
    assert read_json(run.calibration)["prediction_sets"]["rule"] == "aps"


def test_the_fingerprint_is_of_what_was_fitted_on_and_not_of_its_order() -> None:
    mine = _predictions(simulate(seed=1))
    order = np.random.default_rng(0).permutation(len(mine.image_id))
    mixed = mine.take(order)
    assert mine.y_true is not None
    found = calibrate(mine, resamples=5)
    assert calibrate(mixed, resamples=5).fingerprint == found.fingerprint
    changed = replace(mine, y_true=(mine.y_true + 1) % 7)
    assert calibrate(changed, resamples=5).fingerprint != found.fingerprint


def test_scores_show_what_was_before_and_after(run: RunFolder) -> None:
    evaluate_part(run, "val")
    assert read_check(run, "val") is None
    calibrate_run(run)
    evaluation = evaluate_part(run, "val")
    check = read_check(run, "val")
    assert check is not None
    assert CalibrationCheck.from_json(json.loads(json.dumps(check.to_json()))) == check
    assert check.after["log_loss"].value == pytest.approx(evaluation.overall["log_loss"].value)
    assert check.before["log_loss"].value > check.after["log_loss"].value
    assert check.before["ece"].value > check.after["ece"].value
    assert check.band.verdict != "above"
    assert {row["diagnosis"] for row in check.coverage} == {*CODES, "all"}
    evaluate_part(run, "test")
    assert set(read_json(run.scores)["calibration"]) == {"val", "test"}


def test_a_check_that_notes_neither_scaling_nor_sets_is_still_read(run: RunFolder) -> None:
    calibration = calibrate_run(run)
    evaluate_part(run, "val")
    scores = read_json(run.scores)
    for key in ("scaling", "prediction_sets"):
        del scores["calibration"]["val"][key]
    write_json(run.scores, scores)
    check = read_check(run, "val")
    assert check is not None
    assert check.is_of(calibration)
    assert check.decides_as(calibration)


def test_few_lesions_leave_no_promise_behind_but_a_file(run: RunFolder) -> None:
    write_predictions(_predictions(simulate(10, seed=4)), run.predictions("cal"))
    calibration = calibrate_run(run)
    assert {fitted.quantile for fitted in calibration.prediction_sets.classes.values()} == {NO_PROMISE}
    sensitive = [point for point in calibration.operating_points if point.aim == "sensitivity"]
    assert {point.threshold for point in sensitive} == {NO_PROMISE}
    evaluate_part(run, "val")
    check = read_check(run, "val")
    assert check is not None
    assert check.coverage == []
    assert check.sizes["mean"] == 7


def test_predictions_that_cannot_be_calibrated_are_refused(run: RunFolder) -> None:
    whole = read_predictions(run.predictions("cal"))
    write_predictions(replace(whole, logits=None), run.predictions("cal"))
    with pytest.raises(RunError, match=r"predictions-cal\.csv: Expected predictions with y_true, group and"):
        calibrate_run(run)
    assert whole.y_true is not None
    absent = replace(whole, y_true=np.where(whole.y_true == 3, 2, whole.y_true))
    write_predictions(absent, run.predictions("cal"))
    with pytest.raises(RunError, match="Use temperature scaling"):
        calibrate_run(run, method="vector")
    write_predictions(whole, run.predictions("cal"))
    calibrate_run(run)
    write_predictions(replace(read_predictions(run.predictions("val")), logits=None), run.predictions("val"))
    with pytest.raises(DataError, match=r"expected the seven logit_<code> beside calibration\.json"):
        read_run_predictions(run, "val")


def test_stated_shares_are_means_beside_frequencies(simulated: Simulated) -> None:
    table = stated_share_table(simulated.y_true, simulated.y_prob, simulated.groups, resamples=300)
    for index, row in enumerate(table.to_dict("records")):
        assert row["stated"] == pytest.approx(simulated.y_prob[:, index].mean())
        assert row["found"] == pytest.approx(np.mean(simulated.y_true == index))
        assert row["low"] <= row["excess"] <= row["high"]
    names = sorted(set(simulated.groups))
    rng, drawn = np.random.default_rng(3), []
    excess = simulated.y_prob[:, 4] - (simulated.y_true == 4)
    by_lesion = [excess[simulated.groups == name] for name in names]
    for _ in range(2_000):
        chosen = [by_lesion[index] for index in rng.integers(len(names), size=len(names))]
        drawn.append(np.concatenate(chosen).mean())
    mel = table.iloc[4]
    assert (mel["low"], mel["high"]) == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])), abs=0.012)


def test_a_check_measures_new_images_with_the_promises_of_old_ones() -> None:
    fitted = _predictions(simulate(300, seed=7, digits=6))
    calibration = calibrate(fitted, resamples=20)
    new = _predictions(simulate(200, seed=8, digits=6))
    assert new.logits is not None
    prob = calibration.probabilities(new.logits)
    check = check_calibration(calibration, new.y_true, new.y_prob, prob, new.group, resamples=50)  # type: ignore[arg-type]
    first = check.points[0]
    assert first["threshold"] == calibration.operating_points[0].threshold
    called = prob[:, 4] >= first["threshold"]
    table = pd.DataFrame({"group": new.group, "called": called, "mel": new.y_true == 4})
    found = table[table["mel"]].groupby("group")["called"].mean().mean()
    assert first["found"]["sensitivity"]["value"] == pytest.approx(found)
