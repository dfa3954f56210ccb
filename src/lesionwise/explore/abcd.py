"""The ABCD of dermatoscopy as numbers, from images and the masks of their lesions.

Not here: finding masks (`lesionwise.data.masks`), and what needs none (`pixels`).

These are descriptions, not the score that a dermatologist gives: the size of a lesion in millimetres is not
known, and differential structures are reduced to "how much fine detail". All are taken at the cached size.

References:
    The rule: Stolz et al. (1994), European Journal of Dermatology 4(7); as a score: Nachbar et al. (1994),
    https://doi.org/10.1016/S0190-9622(94)70061-3
"""

from typing import Final

import numpy as np

from lesionwise.arrays import Booleans, Float32s, Floats

MASK_MEASURES: Final = {
    "area": "Area (part of the image)",
    "asymmetry": "A: asymmetry",
    "border": "B: border irregularity",
    "colors": "C: colour variety",
    "detail": "D: fine detail",
    "against_skin": "Contrast with the skin",
}
_SMALLEST_PX: Final = 30  # pixels of a mask at the cached size; below it shape means nothing


def mask_measures(masks: Booleans, lab: Float32s) -> dict[str, Floats]:
    """Return the ABCD of each image of a block as numbers; NaN where the mask is all but empty.

    Args:
        masks: True inside the lesion, shape (B, H, W).

    Returns:
        By the names of `MASK_MEASURES`, each of shape (B,). `area` is the part of the image. `asymmetry` is
        the part of the lesion that a mirror along its longer and its shorter axis does not cover, mean of the
        two. `border` is perimeter² / 4π area: 1 for a disc, more for what is notched or stretched. `colors`
        is the root mean square distance from the lesion's mean colour in L*a*b*. `detail` is the mean change
        of L* from pixel to pixel inside. `against_skin` is the distance between the mean colours inside and
        outside.
    """
    area_px = masks.sum(axis=(1, 2)).astype(float)
    enough = area_px >= _SMALLEST_PX
    inside, outside = _mean_color(lab, masks), _mean_color(lab, ~masks)
    squares = np.einsum("bhwc,bhwc->bhw", lab, lab)
    steps = np.abs(np.diff(lab[..., 0], axis=2))
    within = masks[:, :, 1:] & masks[:, :, :-1]
    measures: dict[str, Floats] = {
        "area": area_px / masks[0].size,
        "asymmetry": np.array(
            [asymmetry(mask) if big else np.nan for mask, big in zip(masks, enough, strict=True)]
        ),
        "border": perimeter(masks) ** 2 / (4 * np.pi * np.maximum(area_px, 1)),
        "colors": np.sqrt(np.maximum(_mean(squares, masks) - (inside**2).sum(axis=1), 0)),
        "detail": _mean(steps, within),
        "against_skin": np.linalg.norm(inside - outside, axis=1),
    }
    return {name: np.where(enough, values, np.nan) for name, values in measures.items()}


def perimeter(masks: Booleans) -> Floats:
    """Return the length of the outlines in pixels, shape (B,), from crossings along four directions.

    Counting the pixels of the border would make a slanted edge too long or too short; this is right on
    average over all slants. An outline that leaves the image is closed along its edge.

    References:
        The Cauchy-Crofton formula; Legland, Kiêu, Devaux (2007), https://doi.org/10.5566/ias.v26.p83-92
    """
    padded = np.pad(masks, ((0, 0), (1, 1), (1, 1)))
    straight = _crossings(padded[:, 1:], padded[:, :-1]) + _crossings(padded[:, :, 1:], padded[:, :, :-1])
    slanted = _crossings(padded[:, 1:, 1:], padded[:, :-1, :-1])
    slanted = slanted + _crossings(padded[:, 1:, :-1], padded[:, :-1, 1:])
    return np.asarray(np.pi / 8 * (straight + slanted / np.sqrt(2)))


def asymmetry(mask: Booleans) -> float:
    """Return the part of a lesion, which must not be empty, that its mirror images do not cover."""
    places = np.stack(np.nonzero(mask))
    away = places - places.mean(axis=1, keepdims=True)
    axes = np.linalg.eigh(np.cov(places))[1]
    shares = []
    for normal in axes.T[:, :, None]:  # mirror at the line through the middle at right angles to this one
        mirrored = np.rint(places - 2 * (away * normal).sum(axis=0) * normal).astype(int)
        seen = ((mirrored >= 0) & (mirrored < np.array(mask.shape)[:, None])).all(axis=0)
        shares.append(1 - mask[tuple(mirrored[:, seen])].sum() / places.shape[1])
    return float(np.mean(shares))


def _crossings(first: Booleans, second: Booleans) -> Floats:
    return np.asarray((first ^ second).sum(axis=(1, 2)), dtype=float)


def _mean_color(lab: Float32s, masks: Booleans) -> Floats:
    """Return the mean colour under each mask, shape (B, 3)."""
    return np.stack([_mean(lab[..., channel], masks) for channel in range(3)], axis=1)


def _mean(values: Float32s, masks: Booleans) -> Floats:
    total = (values * masks).sum(axis=(1, 2), dtype=np.float64)
    return np.asarray(total / np.maximum(masks.sum(axis=(1, 2)), 1))
