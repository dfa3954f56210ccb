import numpy as np

from lesionwise.training.sampling import EpochSampler

Y = np.repeat([0, 1, 2], [600, 300, 100])


def order(exponent: float, *, seed: int = 0, epoch: int = 0) -> list[int]:
    sampler = EpochSampler(Y, exponent=exponent, seed=seed)
    sampler.set_epoch(epoch)
    return list(sampler)


def test_without_an_exponent_every_image_stands_once_in_the_order() -> None:
    assert sorted(order(0.0)) == list(range(1000))


def test_an_order_depends_on_seed_and_epoch_alone() -> None:
    for exponent in (0.0, 0.5):
        assert order(exponent, seed=1, epoch=2) == order(exponent, seed=1, epoch=2)
        assert order(exponent, seed=1, epoch=2) != order(exponent, seed=1, epoch=3)
        assert order(exponent, seed=1, epoch=2) != order(exponent, seed=2, epoch=2)


def test_exponent_one_draws_all_classes_alike_and_one_half_in_between() -> None:
    def shares(exponent: float) -> np.ndarray:
        drawn = np.concatenate([Y[order(exponent, epoch=epoch)] for epoch in range(50)])
        return np.bincount(drawn) / len(drawn)

    np.testing.assert_allclose(shares(1.0), [1 / 3] * 3, atol=0.01)
    root = np.sqrt([0.6, 0.3, 0.1])
    np.testing.assert_allclose(shares(0.5), root / root.sum(), atol=0.01)


def test_an_epoch_has_as_many_draws_as_images() -> None:
    assert len(EpochSampler(Y, exponent=0.7, seed=0)) == len(order(0.7)) == 1000
