import numpy as np

from lesionwise.training.step.randomness import uniform


def test_a_number_depends_on_seed_epoch_and_sample_alone() -> None:
    batch = uniform(7, 3, [5, 900, 12], 4)
    assert np.array_equal(uniform(7, 3, [12], 4)[0], batch[2])
    for other in (uniform(8, 3, [5], 4), uniform(7, 4, [5], 4), uniform(7, 3, [6], 4)):
        assert not np.array_equal(other[0], batch[0])


def test_numbers_are_uniform_and_uncorrelated() -> None:
    numbers = uniform(0, 0, np.arange(20_000), 6).astype(float)
    assert numbers.min() >= 0
    assert numbers.max() < 1
    counts = np.stack([np.histogram(column, bins=20, range=(0, 1))[0] for column in numbers.T])
    assert ((counts - 1000) ** 2 / 1000).sum(axis=1).max() < 60  # chi-squared of 19 degrees, p < 1e-5
    correlation = np.corrcoef(numbers.T) - np.eye(6)
    assert np.abs(correlation).max() < 0.04
    neighbours = np.corrcoef(numbers[:-1, 0], numbers[1:, 0])[0, 1]
    assert abs(neighbours) < 0.04
