from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from lesionwise.explain.sanity import STAGES, randomised, rank_similarity
from lesionwise.models.registry import create_model


def test_layers_are_shuffled_from_the_head_to_the_image_and_keep_their_values() -> None:
    network = create_model("small", num_classes=7, image_size=(32, 32), drop_rate=0).eval()
    before = {name: weight.clone() for name, weight in network.named_parameters()}
    changed: list[set[str]] = []
    titles = []
    for title, shuffled in randomised(network):
        titles.append(title)
        changed.append({name for name, weight in shuffled.named_parameters()
                        if not torch.equal(weight, before[name])})  # fmt: skip
        for name, weight in shuffled.named_parameters():
            assert torch.equal(weight.flatten().sort().values, before[name].flatten().sort().values)
    assert titles[0] == "head"
    assert titles[-1] == "all layers"
    assert len(titles) <= STAGES + 1
    assert "head.linear.weight" in changed[0]
    assert not {name for name in changed[0] if name.startswith("features")}
    assert all(first <= second for first, second in pairwise(changed))
    assert "features.0.0.weight" in changed[-1]
    assert "features.0.0.weight" not in changed[-2]
    for name, weight in network.named_parameters():
        assert torch.equal(weight, before[name])


def test_the_seed_decides_the_shuffling() -> None:
    network = create_model("seed-cnn", num_classes=7, image_size=(16, 16), drop_rate=0)
    drawn = [next(iter(randomised(network, seed=seed)))[1].head.linear.weight for seed in (1, 1, 2)]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_similarity_is_spearmans_and_that_of_a_flat_map_is_none() -> None:
    generator = torch.Generator().manual_seed(0)
    maps, changed = torch.rand(3, 4, 5, generator=generator), torch.rand(3, 4, 5, generator=generator)
    expected = [spearmanr(a.flatten(), b.flatten()).statistic for a, b in zip(maps, changed, strict=True)]
    assert rank_similarity(maps, changed) == pytest.approx(np.array(expected))
    assert rank_similarity(maps, maps.exp()) == pytest.approx(np.ones(3))
    assert rank_similarity(maps, -maps) == pytest.approx(-np.ones(3))
    assert rank_similarity(maps, torch.ones(3, 4, 5)) == pytest.approx(np.zeros(3))
