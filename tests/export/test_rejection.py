"""The graph's score against the one that was learnt."""

import numpy as np
import torch

from lesionwise.evaluation.rejection import fit_rejection
from lesionwise.export.graph import RejectionScore


def test_the_graph_scores_as_numpy_does() -> None:
    rng = np.random.default_rng(0)
    lesions, outsiders, cal = (
        rng.normal(3, 1, (300, 9)),
        rng.normal(1, 2, (300, 9)),
        rng.normal(3, 1, (80, 9)),
    )
    rejection = fit_rejection(lesions, outsiders, cal=cal)
    found = RejectionScore(rejection)(torch.tensor(outsiders, dtype=torch.float32)).numpy()
    np.testing.assert_allclose(found, rejection.score(outsiders), rtol=1e-4, atol=1e-4)
