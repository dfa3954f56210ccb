"""Test-time views: a dermatoscopic image has no up and no left, so its mirror images show the same lesion.

Not here: averaging (`network`). Letters: C channels.
"""

from typing import Final, NamedTuple

from torch import Tensor


class View(NamedTuple):
    """One of the eight orientations of a square.

    Attributes:
        transposed: Whether height and width are exchanged first.
        mirrored: Axes of (B, C, H, W) that are reversed.
    """

    transposed: bool
    mirrored: tuple[int, ...]


_MIRRORS: Final = ((), (3,), (2,), (2, 3))
VIEWS: Final[dict[int, tuple[View, ...]]] = {
    count: tuple(View(transposed, axes) for transposed in (False, True) for axes in _MIRRORS)[:count]
    for count in (1, 2, 4, 8)
}
"""The views by their number: the image; with its mirror image; with the half turns of both; all turns."""


def turn(images: Tensor, view: View) -> Tensor:
    """Return images (B, C, H, W) as a view shows them."""
    laid = images.transpose(2, 3) if view.transposed else images
    return laid.flip(view.mirrored) if view.mirrored else laid


def turn_back(maps: Tensor, view: View) -> Tensor:
    """Return maps (B, C, H, W) of a view in the frame of the image."""
    laid = maps.flip(view.mirrored) if view.mirrored else maps
    return laid.transpose(2, 3) if view.transposed else laid
