"""What may be done to an image before a network sees it: three pure functions, named in recipe and bundle.

Not here: reading the file (`images`, which calls both halves) and anything random. All are off unless a
recipe asks for them. `benchmarks/accuracy/preprocessing.sh` measures what each is worth to a network.

A step's name ends with a version. Whoever changes what a step computes must change the version, so that old
caches and bundles are not taken for new ones.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import numpy as np

from lesionwise.arrays import Booleans, Floats, Pixels
from lesionwise.errors import RecipeError, import_extra

if TYPE_CHECKING:
    from lesionwise.recipe import Recipe  # whose class takes time to build, and a service needs none


FIELD_OF_VIEW: Final = "field-of-view-1"
HAIR_REMOVAL: Final = "hair-removal-1"
COLOR_CONSTANCY: Final = "shades-of-gray-1"
STEPS: Final = {
    "field_of_view": FIELD_OF_VIEW,
    "hair_removal": HAIR_REMOVAL,
    "color_constancy": COLOR_CONSTANCY,
}
"""Recipe key and name of every step in the order in which they are applied: hair must not tint the light."""

SMALLEST_VIEW: Final = 0.5  # of height and width: a crop never keeps less
_BLACK: Final = 0.35  # of the median grey; as the audit judges vignettes
_CORNER: Final = 0.04  # of the height: side of the square looked at in each corner
_BLACK_PART: Final = 0.1  # of that square
_END_TO_END: Final = 0.9  # of a row: a scratch of light may lie on a black border
_NORM: Final = 6  # Minkowski norm; the value of Finlayson and Trezzi
_HAIR_WIDTH: Final = 0.04  # of the height: closes 9 px at 225, as in the audit
_HAIR_DEPTH: Final = 12  # grey levels that a hair is darker than what is beside it
_HAIR_LENGTH: Final = 0.18  # of the height; 40 px at 225, as in the audit


def recipe_steps(recipe: "Recipe") -> tuple[str, ...]:
    """Return the names of the steps that a recipe asks for, in the order in which they are applied."""
    return tuple(name for key, name in STEPS.items() if getattr(recipe, key))


def verify_steps(steps: tuple[str, ...]) -> None:
    """Make sure that all steps are known and are in the order in which they are applied."""
    names = list(STEPS.values())
    if list(steps) != [name for name in names if name in steps]:
        raise RecipeError(
            f"Expected preprocessing to be of {', '.join(names)}, in this order, but got "
            f"{', '.join(steps)}. Another version of lesionwise may know it."
        )


def preprocess(pixels: Pixels, steps: tuple[str, ...]) -> Pixels:
    """Apply the steps that work on an image of the final size: all but the field of view."""
    for step in steps:
        if step in _SAME_SIZE:
            pixels = _SAME_SIZE[step](pixels)
    return pixels


def shades_of_gray(pixels: Pixels) -> Pixels:
    """Scale each channel so that the image is grey in the sixth-order mean: the tint of the light goes.

    References:
        Finlayson and Trezzi (2004), Color and Imaging Conference 12; for dermatoscopic images Barata et al.
        (2015), https://doi.org/10.1109/JBHI.2014.2336473
    """
    levels = np.arange(256.0)
    powers = levels**_NORM
    counts = [np.bincount(pixels[..., channel].ravel(), minlength=256) for channel in range(3)]
    light = np.array([(count @ powers / count.sum()) ** (1 / _NORM) for count in counts])
    gains = np.linalg.norm(light) / np.sqrt(3) / np.maximum(light, 1)
    tables = np.clip(np.rint(levels[:, None] * gains), 0, 255).astype(np.uint8)
    return np.stack([tables[pixels[..., channel], channel] for channel in range(3)], axis=-1)


def remove_hair(pixels: Pixels) -> Pixels:
    """Paint over thin, long, dark lines with what is beside them.

    A black-hat along rows and along columns finds what is dark and thin; of that only long pieces are taken
    for hair, because dots and networks of pigment are what a diagnosis rests on.

    References:
        DullRazor: Lee et al. (1997), https://doi.org/10.1016/S0010-4825(97)00020-6; inpainting: Telea (2004),
        https://doi.org/10.1080/10867651.2004.10487596
    """
    cv2 = import_extra("cv2")
    mask = hair_mask(pixels)
    if not mask.any():
        return pixels
    painted = cv2.inpaint(pixels, mask.astype(np.uint8), 3, cv2.INPAINT_TELEA)
    return np.asarray(painted, dtype=np.uint8)


def hair_mask(pixels: Pixels) -> Booleans:
    """Return where `remove_hair` sees hair, with the pixels that touch it, shape (H, W)."""
    cv2 = import_extra("cv2")
    height = pixels.shape[0]
    width_px = max(3, round(_HAIR_WIDTH * height) | 1)  # OpenCV closes off centre with an even width
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    hats = [
        cv2.morphologyEx(grey, cv2.MORPH_BLACKHAT, np.ones(shape, np.uint8))
        for shape in ((1, width_px), (width_px, 1))
    ]
    dark = (np.maximum(*hats) > _HAIR_DEPTH).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(dark, connectivity=8)
    length = np.hypot(stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT])
    hair = (length >= _HAIR_LENGTH * height) & (stats[:, cv2.CC_STAT_AREA] < 2 * width_px * length)
    hair[0] = False  # what is not dark
    return np.asarray(cv2.dilate(hair[labels].astype(np.uint8), np.ones((3, 3), np.uint8)), dtype=bool)


def crop_field_of_view(pixels: Pixels) -> Pixels:
    """Return a view of what `find_field_of_view` keeps of an image (H, W, 3)."""
    return pixels[find_field_of_view(pixels)]


def find_field_of_view(pixels: Pixels) -> tuple[slice, slice]:
    """Return the rows and columns that are not the black border and corners of a dermatoscope's round view.

    First, rows and columns that are black throughout are cut off. Then the box shrinks about its centre until
    no two of its corners are black; a lesion may well be dark in one. Where half the box is not enough, the
    darkness is no border, and the image stays as it was.
    """
    everything = slice(0, pixels.shape[0]), slice(0, pixels.shape[1])
    step = max(1, min(pixels.shape[:2]) // 150)  # a corner need not be looked at in every pixel
    grey = pixels[::step, ::step].mean(axis=2)
    black = grey < _BLACK * np.median(grey)
    top, bottom = _light_range(black.mean(axis=1))
    left, right = _light_range(black.mean(axis=0))
    for kept in np.arange(1, SMALLEST_VIEW - 0.001, -0.02):
        box = _middle(top, bottom, kept), _middle(left, right, kept)
        if min(stop - start for start, stop in box) < 1:
            break
        rows, columns = (slice(*ends) for ends in box)
        if _black_corners(black[rows, columns]) <= 1:
            if box == ((0, black.shape[0]), (0, black.shape[1])):
                break
            sides = zip(box, pixels.shape[:2], strict=True)
            rows, columns = (slice(ends[0] * step, min(ends[1] * step, side)) for ends, side in sides)
            seen = pixels[rows, columns].shape
            enough = all(part >= SMALLEST_VIEW * side for part, side in zip(seen, pixels.shape, strict=True))
            return (rows, columns) if enough else everything
    return everything


def _light_range(black: Floats) -> tuple[int, int]:
    """Return start and stop of the rows that remain after black rows at either end are cut off."""
    light = np.flatnonzero(black < _END_TO_END)
    return (int(light[0]), int(light[-1]) + 1) if len(light) else (0, len(black))


def _middle(start: int, stop: int, part: float) -> tuple[int, int]:
    cut = round((stop - start) * (1 - part) / 2)
    return start + cut, stop - cut


def _black_corners(black: Booleans) -> int:
    side = max(1, round(_CORNER * black.shape[0]))
    corners = (black[:side, :side], black[:side, -side:], black[-side:, :side], black[-side:, -side:])
    return sum(corner.mean() > _BLACK_PART for corner in corners)


_SAME_SIZE: Final[dict[str, Callable[[Pixels], Pixels]]] = {
    HAIR_REMOVAL: remove_hair,
    COLOR_CONSTANCY: shades_of_gray,
}
