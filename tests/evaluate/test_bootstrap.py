import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluate.simulation import Simulated
from lesionwise.evaluate import bootstrap
from lesionwise.evaluate.bootstrap import Estimate, percentile_interval, resample_weights


def _all(simulated: Simulated, **options: int) -> np.ndarray:
    return np.concatenate(list(resample_weights(simulated.groups, simulated.y_true, **options)))


def test_photographs_of_a_lesion_are_drawn_together(simulated: Simulated) -> None:
    weights = _all(simulated, resamples=50)
    for lesion in np.unique(simulated.groups):
        drawn = weights[:, simulated.groups == lesion]
        assert (drawn == drawn[:, :1]).all()


def test_every_diagnosis_keeps_its_number_of_lesions(simulated: Simulated) -> None:
    weights = _all(simulated, resamples=50)
    _, first = np.unique(simulated.groups, return_index=True)
    for diagnosis in range(7):
        members = first[simulated.y_true[first] == diagnosis]
        assert weights[:, members].sum(axis=1) == pytest.approx(np.full(50, len(members)), rel=1e-5)


def test_one_lesion_fewer_is_drawn_than_there_are() -> None:
    weights = np.concatenate(list(resample_weights(np.arange(5), np.zeros(5, int), resamples=400)))
    counts = weights * 4 / 5
    assert counts == pytest.approx(counts.round())
    assert counts.sum(axis=1) == pytest.approx(np.full(400, 4))
    assert set(counts.round().ravel()) == {0, 1, 2, 3, 4}
    assert weights.mean(axis=0) == pytest.approx(np.ones(5), abs=0.15)


def test_the_spread_is_that_of_a_sample_and_not_too_narrow() -> None:
    values = np.random.default_rng(0).normal(size=6)
    weights = np.concatenate(list(resample_weights(np.arange(6), np.zeros(6, int), resamples=20_000)))
    spread = (weights @ values / weights.sum(axis=1)).std()
    assert spread == pytest.approx(values.std(ddof=1) / np.sqrt(6), rel=0.03)


def test_a_lone_lesion_is_always_there() -> None:
    groups, y_true = ["a", "b", "b", "c", "c"], [0, 1, 1, 1, 2]  # c was given two diagnoses
    weights = np.concatenate(list(resample_weights(groups, y_true, resamples=30)))
    assert (weights == 1).all()


def test_the_same_seed_draws_the_same(simulated: Simulated) -> None:
    assert (_all(simulated, resamples=20, seed=3) == _all(simulated, resamples=20, seed=3)).all()
    assert (_all(simulated, resamples=20, seed=3) != _all(simulated, resamples=20, seed=4)).any()


def test_blocks_are_small_and_make_up_all_resamples(
    simulated: Simulated, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "_BLOCK_BYTES", 4 * len(simulated.y_true) * 8)
    blocks = list(resample_weights(simulated.groups, simulated.y_true, resamples=20))
    assert [block.shape for block in blocks] == [(rows, len(simulated.y_true)) for rows in (8, 8, 4)]
    assert blocks[0].dtype == np.float32
    monkeypatch.setattr(bootstrap, "_BLOCK_BYTES", 1)
    assert len(list(resample_weights(simulated.groups, simulated.y_true, resamples=3))) == 3


@given(st.lists(st.floats(-5, 5), min_size=40, max_size=80), st.floats(0.5, 0.99))
def test_the_interval_holds_the_middle(values: list[float], level: float) -> None:
    low, high = percentile_interval(values, level)
    assert low <= np.median(values) <= high
    assert (low, high) == pytest.approx(
        (np.quantile(values, 0.5 - level / 2), np.quantile(values, 0.5 + level / 2))
    )


def test_the_interval_is_taken_by_column_at_95_percent() -> None:
    values = np.stack([np.arange(101.0), 2 * np.arange(101.0)], axis=1)
    low, high = percentile_interval(values)
    assert (*low, *high) == pytest.approx((2.5, 5.0, 97.5, 195.0))


def test_an_estimate_reads_as_value_and_interval() -> None:
    assert str(Estimate(0.5, 0.4, 0.6123)) == "0.500 (0.400 to 0.612)"
