import numpy as np
import pytest
from numpy.typing import NDArray

from lesionwise.evaluation.scores.bootstrap import draw_means, mean_estimates
from lesionwise.explain.pointing import Pointing, Shares, measure_shares, others, summarise


def _disc(
    row: float, column: float, *, size: tuple[int, int] = (20, 30), radius: float = 4
) -> NDArray[np.float32]:
    y, x = np.mgrid[: size[0], : size[1]]
    return np.asarray(np.hypot(y - row, x - column) <= radius, np.float32)


def test_a_map_on_the_lesion_has_its_whole_share_there_and_one_beside_it_none() -> None:
    masks = np.stack([_disc(6, 6), _disc(6, 6)])
    maps = np.stack([_disc(6, 6, radius=2), _disc(14, 24, radius=2)]) - np.float32(0.25)
    found = measure_shares(maps, masks, maps[::-1])
    assert found.own.tolist() == [1, 0]
    assert found.hit.tolist() == [1, 0]
    assert found.other.tolist() == [0, 1]
    assert found.area == pytest.approx(masks.mean((1, 2)))


def test_an_even_map_points_nowhere() -> None:
    masks = np.stack([_disc(6, 6), _disc(12, 20, radius=7)])
    even = np.ones_like(masks)
    found = measure_shares(even, masks, even)
    assert found.own == pytest.approx(found.area)
    pointing = summarise(found, [4, 5], ["a", "b"], resamples=50)
    assert pointing.ratio.value == pytest.approx(1)
    assert pointing.gain.value == pytest.approx(0)


def test_maps_with_nothing_positive_are_counted_and_left_out() -> None:
    masks = np.stack([_disc(6, 6)] * 3)
    maps = np.stack([_disc(6, 6), -_disc(6, 6), _disc(6, 6)])
    found = measure_shares(maps, masks, maps[[2, 0, 0]])
    assert np.isnan(found.own).tolist() == [False, True, False]
    pointing = summarise(found, [4, 4, 5], ["a", "b", "c"], resamples=20)
    assert (pointing.images, pointing.lesions, pointing.empty) == (2, 2, 1)


def test_images_without_a_lesion_in_view_are_left_out_and_none_at_all_is_refused() -> None:
    masks = np.stack([_disc(6, 6), np.zeros((20, 30), np.float32)])
    maps = np.ones_like(masks)
    assert summarise(measure_shares(maps, masks, maps), [4, 5], ["a", "b"], resamples=20).images == 1
    nothing = measure_shares(maps[1:], masks[1:], maps[1:])
    with pytest.raises(ValueError, match="there is none"):
        summarise(nothing, [5], ["b"])


def test_photographs_of_one_lesion_do_not_make_the_interval_narrow() -> None:
    rng = np.random.default_rng(0)
    share = rng.uniform(0.3, 0.9, 40)
    truth = np.zeros(40, int)

    def width(copies: int) -> float:
        values = np.repeat(share, copies)
        shares = Shares(np.full(len(values), 0.4), values, values, values.round(), values.round())
        found = summarise(shares, np.repeat(truth, copies), np.repeat(np.arange(40), copies))
        return found.ratio.high - found.ratio.low

    assert width(5) == pytest.approx(width(1), rel=0.1)


def test_the_record_survives_json() -> None:
    masks = np.stack([_disc(6, 6), _disc(9, 14)])
    pointing = summarise(measure_shares(masks, masks, masks[::-1]), [4, 5], ["a", "b"], resamples=20)
    assert Pointing.from_json(pointing.to_json()) == pointing
    assert pointing.ratio.value > pointing.ratio_of_others.value


def test_nobody_is_given_the_own_map() -> None:
    for number in (2, 3, 50):
        partner = others(number, seed=number)
        assert sorted(partner.tolist()) == list(range(number))
        assert not (partner == np.arange(number)).any()
    with pytest.raises(ValueError, match="at least two"):
        others(1)


def test_means_are_those_of_the_images_and_their_spread_that_of_lesions() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(size=(60, 2))
    first, second = mean_estimates(values, np.arange(60), np.arange(60) % 3, resamples=500)
    assert (first.value, second.value) == pytest.approx(tuple(values.mean(axis=0)))
    assert first.low < first.value < first.high
    drawn = draw_means(values, np.arange(60), np.zeros(60, int), resamples=4000)
    assert drawn.std(axis=0) == pytest.approx(values.std(axis=0, ddof=1) / 60**0.5, rel=0.05)
