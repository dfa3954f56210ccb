"""Drawn numbers only: scores against slow loops and scikit-learn, and the cut-off."""

import numpy as np
import pytest
from sklearn.covariance import LedoitWolf

from lesionwise.evaluation.ood import (
    MAX_DIRECTIONS,
    MAX_PROTOTYPES,
    Distance,
    Rejection,
    Space,
    accepting_cutoff,
    energy_score,
    fit_mahalanobis,
    fit_neighbours,
    fit_rejection,
    max_softmax_score,
    shrunk_covariance,
)


def drawn(rows: int, columns: int = 6, seed: int = 0) -> np.ndarray:
    """Numbers that go together and lean to one side."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(99).normal(size=(columns, columns))
    return np.exp(rng.normal(0, 0.4, (rows, columns))) @ mixing


def fitted(seed: int = 0) -> Rejection:
    return fit_rejection(
        drawn(300, 6, seed),
        drawn(300, 4, seed + 1),
        cal_embedding=drawn(200, 6, seed + 2),
        cal_appearance=drawn(200, 4, seed + 3),
    )


def test_energy_and_softmax_are_what_their_papers_say() -> None:
    logits = np.random.default_rng(0).normal(size=(20, 7)) * 5
    prob = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(max_softmax_score(logits), 1 - prob.max(axis=1))
    np.testing.assert_allclose(energy_score(logits), -np.log(np.exp(logits).sum(axis=1)))


def test_energy_and_softmax_survive_logits_of_any_size() -> None:
    logits = np.array([[1e4, 0.0], [-1e4, -1e4]])
    np.testing.assert_allclose(energy_score(logits), [-1e4, 1e4 - np.log(2)])
    np.testing.assert_allclose(max_softmax_score(logits), [0, 0.5])


def test_shrinkage_is_that_of_ledoit_and_wolf() -> None:
    x = drawn(40)
    x -= x.mean(axis=0)
    np.testing.assert_allclose(shrunk_covariance(x), LedoitWolf(assume_centered=True).fit(x).covariance_)


def test_shrinkage_makes_few_images_invertible() -> None:
    assert np.linalg.matrix_rank(shrunk_covariance(drawn(3, 6))) == 6


def test_coordinates_of_lesion_images_are_round() -> None:
    x = drawn(4000)
    z = Space.fit(x).coordinates(x)
    np.testing.assert_allclose(np.cov(z, rowvar=False), np.eye(6), atol=0.1)


def test_a_two_sided_scale_calls_rare_values_one_on_either_side() -> None:
    x = np.exp(np.random.default_rng(0).normal(size=(4000, 1)))
    space = Space.fit(x, two_sided=True)
    assert space.above > 3 * space.below
    assert np.isclose(space.middle - space.below, np.quantile(x, 0.005)).all()


def test_many_numbers_are_reduced() -> None:
    distance = fit_neighbours(drawn(200, MAX_DIRECTIONS + 20))
    assert distance.prototypes.shape == (200, MAX_DIRECTIONS)


def test_prototypes_stay_few() -> None:
    assert len(fit_neighbours(drawn(MAX_PROTOTYPES + 50, 3)).prototypes) == MAX_PROTOTYPES


def test_the_neighbours_score_is_a_slow_loop() -> None:
    distance, others = fit_neighbours(drawn(50)), drawn(10, seed=5)
    for score, z in zip(distance.score(others), distance.space.coordinates(others), strict=True):
        squares = sorted(((z - prototype) ** 2).sum() for prototype in distance.prototypes)
        assert np.isclose(score, np.sqrt(np.mean(squares[:5])))


def test_the_mahalanobis_score_is_the_formula() -> None:
    x, y, others = drawn(4000), np.arange(4000) % 3, drawn(10, seed=5)
    x[y == 2] += 3
    means = np.stack([x[y == code].mean(axis=0) for code in range(3)])
    inverse = np.linalg.inv(np.cov(x - means[y], rowvar=False))
    off = others[:, None] - means
    expected = np.sqrt(np.einsum("ncd,de,nce->nc", off, inverse, off).min(axis=1))
    np.testing.assert_allclose(fit_mahalanobis(x, y).score(others), expected, rtol=0.02)


def test_units_are_those_of_lesion_images_not_fitted_on() -> None:
    cal = drawn(500, seed=3)
    score = fit_neighbours(drawn(300)).judged_by(cal).score(cal)
    np.testing.assert_allclose(np.quantile(score, (0.5, 0.99)), (0, 1), atol=1e-9)


def test_judging_twice_is_judging_once() -> None:
    once = fit_neighbours(drawn(100)).judged_by(drawn(100, seed=1))
    again = once.judged_by(drawn(100, seed=1))
    assert (once.typical, once.unit) == (again.typical, again.unit)


@pytest.mark.parametrize("images", [5, 99, 100, 869])
def test_the_cutoff_lets_at_least_the_promised_part_pass(images: int) -> None:
    score = np.random.default_rng(images).normal(size=images)
    assert np.mean(score < accepting_cutoff(score)) >= 0.99 or images < 99


def test_new_lesion_images_pass_as_often_as_promised() -> None:
    rng = np.random.default_rng(0)
    passed = [np.mean(rng.normal(size=400) < accepting_cutoff(rng.normal(size=300))) for _ in range(200)]
    assert 0.985 < np.mean(passed) < 0.997


def test_either_distance_alone_rejects() -> None:
    rejection = fitted()
    usual, looks = drawn(50, 6, 7), drawn(50, 4, 8)
    assert np.mean(rejection.score(usual, looks) >= rejection.cutoff) < 0.1
    assert (rejection.score(usual + 40, looks) >= rejection.cutoff).all()
    assert (rejection.score(usual, looks + 40) >= rejection.cutoff).all()


def test_scores_of_many_pictures_are_those_of_each() -> None:
    distance: Distance = fit_neighbours(drawn(60))
    many = drawn(1200, seed=4)
    np.testing.assert_allclose(distance.score(many)[:3], distance.score(many[:3]))
