"""Pointing: the share of a map on the lesion compared with the share of area, and the place of its peak.

Here: from maps and masks to shares with intervals. Not here: maps (`cam`) and the frame (`data.masks`).

Photographs show lesions in the middle, so any map with a bright middle lies on them. Every number is
therefore compared with that of the map of *another* random image, which shows the effect of centring alone.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from lesionwise.arrays import Float32s, Floats, Integers
from lesionwise.evaluation.scores.bootstrap import RESAMPLES, Estimate, draw_means, spread_estimate
from lesionwise.files import JsonRecord


@dataclass(frozen=True)
class Shares:
    """The measurements in each image.

    Attributes:
        area: Part of the view that is lesion, shape (N,).
        own: Part of the positive map on the lesion, shape (N,); NaN if nothing is positive.
        other: The same for the map of another image.
        hit: Whether the peak lies on the lesion, 0 or 1, shape (N,); NaN if nothing is positive.
        other_hit: The same for the map of another image.
    """

    area: Floats
    own: Floats
    other: Floats
    hit: Floats
    other_hit: Floats


@dataclass(frozen=True)
class Pointing(JsonRecord):
    """How much a model's maps lie on lesions, over a set of images.

    Attributes:
        images: Number of images with a mask, a lesion in view, and a map with positive values.
        empty: Number of images without positive values in their map, which are left out.
        area: Mean part of the view that is lesion.
        share: Mean part of the positive map on the lesion.
        ratio: Share divided by area; 1 for a map without aim.
        ratio_of_others: The same with the map of another image: the effect of centring alone.
        gain: `ratio` minus `ratio_of_others`.
        hit_rate: Part of the images whose map has its peak on the lesion.
        hit_rate_of_others: The same with the map of another image.
    """

    images: int
    lesions: int
    empty: int
    area: Estimate
    share: Estimate
    ratio: Estimate
    ratio_of_others: Estimate
    gain: Estimate
    hit_rate: Estimate
    hit_rate_of_others: Estimate


def measure_shares(maps: Float32s, masks: Float32s, other_maps: Float32s) -> Shares:
    """Return how each map lies on the mask of its image."""
    own, hit = _on_mask(maps, masks)
    other, other_hit = _on_mask(other_maps, masks)
    return Shares(masks.mean((1, 2), dtype=float), own, other, hit, other_hit)


def summarise(
    shares: Shares, y_true: ArrayLike, groups: ArrayLike, *, resamples: int = RESAMPLES
) -> Pointing:
    """Return means over images with intervals from resampled lesions.

    The ratio is that of the means, because the smallest lesions would dominate a mean of ratios.

    Raises:
        ValueError: If no image has both a lesion in view and a map.
    """
    aimed = np.isfinite(shares.own) & np.isfinite(shares.other)
    kept = aimed & (shares.area > 0)
    if not kept.any():
        raise ValueError("Expected images with a lesion in view and a map but there is none.")
    names = list(vars(shares))
    columns = np.column_stack([getattr(shares, name) for name in names])[kept]
    truth, lesions = np.asarray(y_true)[kept], np.asarray(groups)[kept]
    drawn = draw_means(columns, lesions, truth, resamples=resamples)
    means = dict(zip(names, columns.mean(axis=0).tolist(), strict=True))
    samples = dict(zip(names, drawn.T, strict=True))
    for found in (means, samples):
        found |= {"ratio": found["own"] / found["area"], "other_ratio": found["other"] / found["area"]}
        found["gain"] = found["ratio"] - found["other_ratio"]

    def estimate(name: str) -> Estimate:
        return spread_estimate(means[name], samples[name])

    return Pointing(
        images=int(kept.sum()),
        lesions=len(np.unique(lesions)),
        empty=int((~aimed).sum()),
        area=estimate("area"),
        share=estimate("own"),
        ratio=estimate("ratio"),
        ratio_of_others=estimate("other_ratio"),
        gain=estimate("gain"),
        hit_rate=estimate("hit"),
        hit_rate_of_others=estimate("other_hit"),
    )


def others(number: int, *, seed: int = 0) -> Integers:
    """Return for each of N images the position of another random one; each is drawn once."""
    if number < 2:  # noqa: PLR2004 (one image has no other)
        raise ValueError("Expected at least two images to exchange their maps.")
    order = np.random.default_rng(seed).permutation(number)
    return np.asarray(np.roll(order, 1)[np.argsort(order)], np.int64)


def _on_mask(maps: Float32s, masks: Float32s) -> tuple[Floats, Floats]:
    positive = np.maximum(maps, 0)
    total = positive.sum((1, 2), dtype=float)
    on_lesion = (positive * masks).sum((1, 2), dtype=float)
    share = np.divide(on_lesion, total, out=np.full(len(total), np.nan), where=total > 0)
    flat = masks.reshape(len(masks), -1)
    peak = flat[np.arange(len(flat)), maps.reshape(len(maps), -1).argmax(axis=1)]
    hit = np.where(total > 0, (peak > 0.5).astype(float), np.nan)  # noqa: PLR2004 (half a pixel is lesion)
    return share, hit
