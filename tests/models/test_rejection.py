"""The graph's scores against those that were learnt."""

import numpy as np
import torch

from lesionwise.evaluation.ood import fit_mahalanobis, fit_neighbours, fit_rejection
from lesionwise.models.appearance import Appearance
from lesionwise.models.rejection import DistanceScore, RejectionScore


def test_the_graph_scores_as_numpy_does() -> None:
    rng = np.random.default_rng(0)
    train, cal, others = rng.normal(3, 1, (300, 9)), rng.normal(3, 1, (80, 9)), rng.normal(0, 9, (40, 9))
    classes = np.arange(300) % 4
    for fitted in (fit_neighbours(train, two_sided=True), fit_mahalanobis(train, classes)):
        distance = fitted.judged_by(cal)
        found = DistanceScore(distance)(torch.tensor(others, dtype=torch.float32)).numpy()
        np.testing.assert_allclose(found, distance.score(others), rtol=1e-4, atol=1e-4)


def test_a_picture_is_as_foreign_as_the_worse_of_its_two_scores() -> None:
    rng = np.random.default_rng(0)
    pixels = torch.tensor(rng.integers(0, 256, (120, 24, 32, 3), np.uint8))
    embedding = torch.tensor(rng.normal(size=(120, 5)), dtype=torch.float32)
    looks = Appearance()(pixels).numpy()
    rejection = fit_rejection(
        embedding[:80].numpy(), looks[:80], cal_embedding=embedding[80:].numpy(), cal_appearance=looks[80:]
    )
    pixels[0], embedding[1] = 0, 50
    found = RejectionScore(rejection)(pixels, embedding).numpy()
    expected = rejection.score(embedding.numpy(), Appearance()(pixels).numpy())
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)
    assert (found[:2] > rejection.cutoff).all()
    assert found[2:].max() < found[:2].min()
