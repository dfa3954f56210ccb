"""How an image was taken: six simple measures, each with the threshold above or below which it is reported.

Here: the measures, one image at a time, on the pixels of the cache. Not here: duplicates, and the table.

None of them is a verdict on an image. They are cheap, and meant to be looked at: the page shows the images.
Each threshold was set by looking at the images around it in HAM10000 (`docs/findings.md`). The
kernels are meant for images of 225 x 300 px, as the audit has them.
"""

from dataclasses import dataclass
from functools import cache
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from lesionwise.arrays import Float32s, Floats, Pixels
from lesionwise.data.findings import Finding

THUMBNAIL_STEP: Final = 3  # px: 225x300 becomes 75x100
_LUMA: Final = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601
_HAIR_WIDTH_PX: Final = 9  # a line thinner than this is closed
_HAIR_DEPTH: Final = 22  # grey levels that a hair is darker than the skin beside it
_HAIR_LENGTH_PX: Final = 40
_INSIDE: Final = 1.05  # of the distance from the centre to the middle of a side
_STRIP_PX: Final = 45  # rulers lie at the border
_SHORTEST_TICK_PX: Final = 4
_LONGEST_TICK_PX: Final = 40
_FAINTEST_TICKS: Final = 1.0  # squared grey levels


@dataclass(frozen=True)
class Measure:
    """One thing that is measured, and when it is worth a look.

    Attributes:
        bad: Whether low or high values are reported.
        threshold: A value equal to it is not reported.
        message: What the reported images are; follows their number.
    """

    name: str
    code: str
    bad: Literal["low", "high"]
    threshold: float
    message: str
    remedy: str


MEASURES: Final = (
    Measure(
        "brightness", "D013", "low", 125.0,
        "images are dark (the brightest tenth of the pixels is under 125 of 255)",
        "Look at them; a model may take the exposure of one camera for a diagnosis."),
    Measure(
        "sharpness", "D014", "low", 1.14,
        "images are blurred (their strongest edges hardly lose anything by a blur of 2.5 px)",
        "Look at them, and leave out those that a dermatologist could not read either."),
    Measure(
        "warmth", "D015", "low", -0.04,
        "images are off-colour (their skin is more blue than red)",
        "Look at them. If all images are affected, red and blue are swapped."),
    Measure(
        "hair", "D016", "high", 0.8,
        "images are hairy (thin dark lines are longer together than 0.8 diagonals)",
        "Nothing has to be done. Look at the scores on these images separately."),
    Measure(
        "ruler", "D017", "high", 0.35,
        "images show a ruler or scale (ticks repeat along a border)",
        "Rulers are common beside suspicious lesions. Check whether a model looks at them."),
    Measure(
        "vignette", "D018", "high", 0.3,
        "images are vignetted (at least three corners are black)",
        "Nothing has to be done, but crops and rotations should not create such corners."),
)  # fmt: skip


def measure_image(pixels: Pixels) -> tuple[dict[str, float], Float32s]:
    """Return the measures of an image by name, and its grey thumbnail, shape (H / 3, W / 3)."""
    small = _shrink(pixels)
    grey = small @ _LUMA
    full = np.asarray(Image.fromarray(pixels).convert("L"))  # the same weights, in integers
    hat = _black_hat(full)
    measures = {
        "brightness": float(np.quantile(grey, 0.9)),
        "sharpness": sharpness(full.astype(np.float32)),
        "warmth": warmth(small, grey),
        "hair": hair(hat),
        "ruler": ruler(hat),
        "vignette": vignette(grey),
    }
    return measures, grey


def quality_findings(measures: dict[str, Floats], image_ids: NDArray[np.str_]) -> list[Finding]:
    """Return a finding for each measure that some images fail, the worst images first."""
    findings = []
    for measure in MEASURES:
        values = measures[measure.name]
        order = np.argsort(values if measure.bad == "low" else -values, kind="stable")
        failing = {str(image_ids[row]): float(values[row]) for row in order if fails(measure, values[row])}
        if failing:
            message = f"{len(failing)} {measure.message}"
            details = tuple({"image_id": image, measure.name: round(failing[image], 4)} for image in failing)
            ids = tuple(failing)
            findings.append(
                Finding(measure.code, "warning", message, measure.remedy, ids=ids, details=details)
            )
    return findings


def fails(measure: Measure, value: float) -> bool:
    """Whether a value is worth a look."""
    return value < measure.threshold if measure.bad == "low" else value > measure.threshold


def sharpness(grey: Float32s) -> float:
    """Return how much steeper edges are than after a blur: about 1 for a blurred image, 1.5 for a sharp one.

    Only the steepest twentieth of the blurred image counts, so that smooth skin is not taken for blur; the
    border is left out, because a vignette is always soft.

    References:
        The idea of comparing with a blurred copy: Crete et al. (2007), https://doi.org/10.1117/12.702790
    """
    height, width = grey.shape
    inner = grey[height // 7 : -(height // 7), width // 7 : -(width // 7)]
    fine, coarse = (_gradient(ndimage.gaussian_filter(inner, sigma)) for sigma in (0.6, 2.5))
    steep = coarse >= np.quantile(coarse, 0.95)
    return float(fine[steep].mean() / max(float(coarse[steep].mean()), 1e-6))


def warmth(small: Float32s, grey: Float32s) -> float:
    """Return red minus blue of the skin, from -1 to 1: the brighter half of the image, corners left out."""
    skin = (grey > np.median(grey)) & (_radius(grey.shape) < _INSIDE)
    if not skin.any():
        return 0.0
    red, _, blue = small[skin].mean(axis=0) / 255
    return float(red - blue)


def vignette(grey: Float32s) -> float:
    """Return the black part of the third blackest corner, from 0 to 1."""
    side = max(1, grey.shape[0] // 6)
    limit = 0.35 * float(np.median(grey))
    corners = (grey[:side, :side], grey[:side, -side:], grey[-side:, :side], grey[-side:, -side:])
    return float(sorted((corner < limit).mean() for corner in corners)[1])


def hair(hat: Float32s) -> float:
    """Return the length of thin dark lines, in diagonals of the image.

    References:
        Closing along lines as in DullRazor: Lee et al. (1997), https://doi.org/10.1016/S0010-4825(97)00020-6
    """
    height, width = hat.shape
    lines, _ = ndimage.label(
        (hat > _HAIR_DEPTH) & (_radius(hat.shape) < _INSIDE),  # not the edge of a vignette
        structure=np.ones((3, 3)),
    )
    areas, boxes = np.bincount(lines.ravel())[1:], ndimage.find_objects(lines)
    total = 0.0
    for row in np.flatnonzero(areas > _HAIR_LENGTH_PX / np.sqrt(2)):  # fewer pixels do not reach that far
        tall, wide = boxes[row]
        length = float(np.hypot(tall.stop - tall.start, wide.stop - wide.start))
        if length >= _HAIR_LENGTH_PX and areas[row] / length < _HAIR_WIDTH_PX:
            total += length
    return total / float(np.hypot(height, width))


def ruler(hat: Float32s) -> float:
    """Return how regularly dark marks repeat along one of the borders, from 0 to 1.

    It is the highest autocorrelation of the marks that also shows at twice the distance.
    """
    marks = np.clip(hat, 0, 60)
    strips = (marks[:_STRIP_PX], marks[-_STRIP_PX:], marks[:, :_STRIP_PX].T, marks[:, -_STRIP_PX:].T)
    return max(_regularity(strip.mean(axis=0)) for strip in strips)


def _regularity(profile: Float32s) -> float:
    profile = profile - ndimage.uniform_filter1d(profile, 31)
    if float((profile**2).mean()) < _FAINTEST_TICKS:
        return 0.0
    correlation = np.correlate(profile, profile, "full")[len(profile) - 1 :]
    correlation /= correlation[0]
    period = int(correlation[_SHORTEST_TICK_PX:_LONGEST_TICK_PX].argmax()) + _SHORTEST_TICK_PX
    again = correlation[2 * period - 1 : 2 * period + 2].max()
    return max(0.0, float(min(correlation[period], again)))


def _shrink(pixels: Pixels) -> Float32s:
    """Average blocks of 3 by 3 pixels."""
    step = THUMBNAIL_STEP
    total = np.zeros((pixels.shape[0] // step, pixels.shape[1] // step, 3), dtype=np.uint16)
    for row in range(step):
        for column in range(step):
            total += pixels[row::step, column::step][: total.shape[0], : total.shape[1]]
    return total.astype(np.float32) / np.float32(step**2)


def _black_hat(grey: Pixels) -> Float32s:
    """Return how much darker a pixel is than its surroundings along a row or a column, shape (H, W)."""
    rows = _close_rows(grey)
    columns = _close_rows(np.ascontiguousarray(grey.T)).T
    return np.asarray(np.maximum(rows, columns) - grey, dtype=np.float32)


def _close_rows(grey: Pixels) -> Pixels:
    """Close gaps narrower than a hair along each row: a running maximum, then a running minimum.

    Nine neighbours are covered by four steps of 1, 2, 4 and 1, twenty times as fast as scipy's filters here.
    """
    reach = _HAIR_WIDTH_PX - 1
    padded = np.pad(grey, ((0, 0), (reach, reach)), mode="edge")
    for widest in (np.maximum, np.minimum):
        for step in (1, 2, 4, 1):
            padded = widest(padded[:, step:], padded[:, :-step])
    return padded


def _gradient(grey: Float32s) -> Float32s:
    corner = grey[:-1, :-1]
    down, right = grey[1:, :-1] - corner, grey[:-1, 1:] - corner
    return np.asarray(np.sqrt(down * down + right * right))  # np.hypot takes ten times as long


@cache
def _radius(shape: tuple[int, ...]) -> Float32s:
    """Return the distance from the centre, 1 at the middle of each side."""
    rows, columns = (np.linspace(-1, 1, side, dtype=np.float32) for side in shape)
    return np.asarray(np.hypot(rows[:, None], columns[None]), dtype=np.float32)
