"""Sums of resamples, by lesion for few images and by unit for many."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from evaluation.simulation import Simulated
from lesionwise.evaluation.calibration.decision_curve import decision_curve_table
from lesionwise.evaluation.scores import bootstrap, cells, resampled
from lesionwise.evaluation.scores.bootstrap import resample_weights
from lesionwise.evaluation.scores.cells import Cells, draw_sums
from lesionwise.evaluation.scores.curves import precision_recall_table, reliability_table, roc_table
from lesionwise.evaluation.scores.selective import risk_coverage_table


def test_sums_are_those_of_the_weights_of_each_image(simulated: Simulated) -> None:
    cell = simulated.y_prob.argmax(axis=1)
    value = simulated.y_prob.max(axis=1)
    table = {"count": Cells(cell, 7), "value": Cells(cell, 7, value)}
    blocks = list(draw_sums(table, simulated.groups, simulated.y_true, resamples=30, seed=3))
    weights = np.concatenate(list(resample_weights(simulated.groups, simulated.y_true, resamples=30, seed=3)))
    for name, values in (("count", np.ones(len(cell))), ("value", value)):
        found = np.concatenate([block[name] for block in blocks])
        for index in range(7):
            expected = weights[:, cell == index] @ values[cell == index]
            assert found[:, index] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("curve", "value"),
    [
        (roc_table, "sensitivity"),
        (precision_recall_table, "precision"),
        (reliability_table, "accuracy"),
        (risk_coverage_table, "error"),
        (decision_curve_table, "net_benefit"),
    ],
)
def test_the_bands_of_many_images_are_those_of_few_and_cost_no_more(
    simulated: Simulated, monkeypatch: pytest.MonkeyPatch, curve: Callable[..., pd.DataFrame], value: str
) -> None:
    sample = simulated.y_true, simulated.y_prob, simulated.groups
    few = curve(*sample)
    drawn: list[int] = []
    counts = bootstrap.resample_counts

    def note(unit: np.ndarray, *given: object, **named: object) -> object:
        drawn.append(int(unit.max()) + 1)
        return counts(unit, *given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(cells, "MANY", 100)
    monkeypatch.setattr(bootstrap, "MOST_UNITS", 60)
    monkeypatch.setattr(cells, "resample_counts", note)
    many = curve(*sample)
    assert len(drawn) == 1
    assert drawn[0] <= 7 * 60
    assert (many[value] == few[value]).all()  # the curve itself is exact
    width = (few["high"] - few["low"]).mean()
    assert (many["high"] - many["low"]).mean() == pytest.approx(width, rel=0.15)


def test_the_bands_of_a_rare_class_among_many_images_hold_its_curves() -> None:
    rng = np.random.default_rng(0)
    images = bootstrap.MANY + 1000
    truth = (rng.random(images) > 0.002).astype(int)
    rare = 1 / (1 + np.exp(rng.normal(size=images) + 4 * truth))
    prob = np.stack([rare, 1 - rare, np.zeros(images)], axis=1)  # the third class has no image
    lesion = np.arange(images)
    for curve, value in ((roc_table, "sensitivity"), (precision_recall_table, "precision")):
        table = curve(truth, prob, lesion, resamples=50)
        assert len(table) == 2 * 101
        assert table[value].between(table["low"] - 1e-6, table["high"] + 1e-6).all()
    found = resampled.score_all(truth, prob)["average_precision"][:2]
    drawn = resampled.draw_all(truth, prob, lesion, resamples=50, seed=0)["average_precision"][:, :2]
    assert (np.abs(drawn.mean(axis=0) - found) < drawn.std(axis=0)).all()
