"""Test-time views: a dermatoscopic image has no up and no left, so its mirror images are the same lesion.

Not here: averaging (`network`). Letters: C channels.
"""

from typing import Final, NamedTuple

from torch import Tensor


class View(NamedTuple):
    """One of the eight ways to lay down a square.

    Attributes:
        transposed: Height and width change places, before all else.
        mirrored: Axes of (B, C, H, W) that are reversed.
    """

    transposed: bool
    mirrored: tuple[int, ...]


_MIRRORS: Final = ((), (3,), (2,), (2, 3))
VIEWS: Final[dict[int, tuple[View, ...]]] = {
    count: tuple(View(transposed, axes) for transposed in (False, True) for axes in _MIRRORS)[:count]
    for count in (1, 4, 8)
}
"""The views by their number: the image as it is; with its mirror images; with their quarter turns."""


def turn(images: Tensor, view: View) -> Tensor:
    """Return images (B, C, H, W) as a view shows them."""
    laid = images.transpose(2, 3) if view.transposed else images
    return laid.flip(view.mirrored) if view.mirrored else laid


def turn_back(maps: Tensor, view: View) -> Tensor:
    """Return maps (B, C, H, W) of a view as they lie on the image."""
    laid = maps.flip(view.mirrored) if view.mirrored else maps
    return laid.transpose(2, 3) if view.transposed else laid
