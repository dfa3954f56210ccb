"""Pictures that teach what a lesion image is: lesions as another camera shows them, and other pictures.

Here: both, made from lesion images or drawn, at random. Not here: the changes by which robustness is measured
(`perturbations`), and learning (`evaluation.rejection`).
"""

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
from matplotlib import get_data_path
from PIL import Image, ImageDraw, ImageFilter, ImageOps
from sklearn.datasets import load_sample_images

from lesionwise.arrays import Floats, Pixels
from lesionwise.data.perturbations import blur, zoom
from lesionwise.data.phantom.fields import as_pixels

Draw = Callable[[Pixels, np.random.Generator], Pixels]

_GREATEST: Final = 255
_SOFTEST: Final = 0.007  # of the height, as a deviation: a camera slightly out of focus
_NEAREST: Final = 0.6
_FRAMED: Final = 0.2  # part of the pictures in a black frame, and with dark corners


def change_camera(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Return a lesion image as another dermatoscope might have it.

    Exposure, white balance, gamma, saturation, contrast, focus, magnification and frame change together, each
    by as much as dermatoscopes differ, which is more than a single one of the `perturbations` does.
    """
    seen = zoom(pixels, rng.uniform(0, _NEAREST), rng)
    if rng.random() < 0.5:  # noqa: PLR2004 (even odds)
        seen = blur(seen, rng.uniform(0, _SOFTEST), rng)
    light = (seen / np.float32(_GREATEST)) ** np.exp(rng.normal(0, 0.2))
    light = light * np.exp(rng.normal(0, 0.2) + rng.normal(0, 0.1, 3))
    grey = light.mean(axis=2, keepdims=True)
    light = grey + (light - grey) * np.exp(rng.normal(0, 0.3))
    light = light.mean() + (light - light.mean()) * np.exp(rng.normal(0, 0.2))
    return as_pixels(light * _frame(pixels.shape[0], pixels.shape[1], rng))


def _frame(height: int, width: int, rng: np.random.Generator) -> Floats:
    """Return what passes of the light at each place, shape (H, W, 1): all, or less away from the middle."""
    rows, columns = np.ogrid[:height, :width]
    radius = np.hypot(rows - height / 2, columns - width / 2)[..., None] / (width / 2)
    kind = rng.random()
    if kind < _FRAMED:
        return np.clip((rng.uniform(0.8, 1.15) - radius) * rng.uniform(5, 60), 0, 1)
    if kind < 2 * _FRAMED:
        return 1 - rng.uniform(0, 0.6) * np.clip(radius, 0, 1.3) ** 2
    return np.ones((height, width, 1))


def _skin(pixels: Pixels, _: np.random.Generator) -> Pixels:
    """Return the corner with the least variation, enlarged: mostly skin without the lesion."""
    height, width = pixels.shape[:2]
    h, w = max(1, height // 3), max(1, width // 3)
    inset_y, inset_x = height // 20, width // 20
    corners = [
        pixels[top : top + h, left : left + w]
        for top in (inset_y, height - h - inset_y)
        for left in (inset_x, width - w - inset_x)
    ]
    calmest = min(corners, key=lambda corner: float(corner.std(axis=(0, 1)).sum()))
    return np.asarray(Image.fromarray(calmest).resize((width, height), Image.Resampling.BICUBIC))


def _page(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Return lines of marks on paper or a screen, with boxes between them."""
    height, width = pixels.shape[:2]
    dark = rng.random() < 0.25  # noqa: PLR2004 (a quarter of all screens)
    paper, ink = _colour(rng, 20, 60) if dark else _colour(rng, 215, 256), _colour(rng, 0, 90)
    image = Image.new("RGB", (width, height), paper)
    draw = ImageDraw.Draw(image)
    for _ in range(rng.integers(0, 6)):
        draw.rectangle(_box(height, width, rng), fill=_colour(rng, 20, 256))
    line = height * rng.uniform(0.02, 0.09)
    for y in np.arange(rng.uniform(0, 0.2) * height, height, 1.6 * line):
        x, end = rng.uniform(0, 0.2) * width, rng.uniform(0.4, 1) * width
        while x < end:
            word = line * rng.uniform(0.4, 4)
            draw.rectangle((x, y, min(end, x + word), y + line * 0.6), fill=paper[::-1] if dark else ink)
            x += word + 0.5 * line
    return np.asarray(image.filter(ImageFilter.GaussianBlur(rng.uniform(0, 1))))


def _things(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Return things that hide one another, of any size and colour, as in photographs (dead leaves).

    References:
        Lee, Mumford, Huang (2001), https://doi.org/10.1023/A:1011109015675
    """
    height, width = pixels.shape[:2]
    mean = pixels.mean(axis=(0, 1))
    spread, like_skin = rng.uniform(10, 90), rng.random() < 0.5  # noqa: PLR2004 (even odds)
    middle = mean if like_skin else rng.uniform(30, 225, 3)
    tint = np.array([1, 1, 1]) if like_skin else rng.uniform(0.3, 1, 3)
    image = Image.new("RGB", (width, height), tuple(int(value) for value in np.clip(middle, 0, 255)))
    draw = ImageDraw.Draw(image)
    for _ in range(rng.integers(20, 250)):
        own = rng.normal(0, spread) * tint + rng.normal(0, spread / (6 if like_skin else 1.5), 3)
        colour = tuple(int(value) for value in np.clip(middle + own, 0, 255))
        box = _box(height, width, rng)
        form = rng.integers(3)
        if form == 0:
            draw.ellipse(box, fill=colour)
        elif form == 1:
            draw.rectangle(box, fill=colour)
        else:
            corners = rng.uniform(0, 1, (3, 2)) * (box[2] - box[0], box[3] - box[1]) + box[:2]
            draw.polygon([(float(x), float(y)) for x, y in corners], fill=colour)
    soft = np.asarray(image.filter(ImageFilter.GaussianBlur(rng.uniform(0, 0.01) * height)))
    return as_pixels(soft / _GREATEST + _cloud(height, width, rng) * rng.uniform(0, 0.12))


def _noise(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Return noise of any fineness about one colour, often that of the lesion image, or the plain colour."""
    height, width = pixels.shape[:2]
    about = pixels.mean(axis=(0, 1)) if rng.random() < 0.5 else rng.uniform(0, 255, 3)  # noqa: PLR2004
    strength = rng.choice([0.0, rng.uniform(0.02, 0.3)], p=[0.2, 0.8])
    coloured = rng.choice([1, 3])
    grain = np.concatenate([_cloud(height, width, rng) for _ in range(coloured)], axis=2)
    return as_pixels(about / _GREATEST + strength * grain)


def _cloud(height: int, width: int, rng: np.random.Generator) -> Floats:
    """Return noise of mean 0 and deviation 1 with a spectrum from white to steeper than pink, (H, W, 1)."""
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None])
    steep = np.maximum(frequency, 1 / width) ** -rng.uniform(0, 2)
    values = np.fft.ifft2(np.fft.fft2(rng.normal(size=(height, width))) * steep).real
    values -= values.mean()
    return np.asarray(values / max(values.std(), 1e-6))[..., None]


def _photograph(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Return a part of one of three everyday photographs."""
    height, width = pixels.shape[:2]
    photographs = _photographs()
    image = photographs[rng.integers(len(photographs))]
    across = min(image.width, image.height * width / height) * rng.uniform(0.3, 1)
    down = across * height / width
    left, top = rng.uniform(0, image.width - across), rng.uniform(0, image.height - down)
    seen = image.resize((width, height), Image.Resampling.BICUBIC, (left, top, left + across, top + down))
    return np.asarray(seen.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else seen)  # noqa: PLR2004


def _photograph_like_skin(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Return a part of an everyday photograph in shades of the lesion image's colour."""
    grey = Image.fromarray(_photograph(pixels, rng)).convert("L")
    shade = tuple(int(value) for value in pixels.mean(axis=(0, 1)))
    dark = tuple(value // 3 for value in shade)
    return np.asarray(ImageOps.colorize(ImageOps.autocontrast(grey), dark, shade, mid=None))


@cache
def _photographs() -> tuple[Image.Image, ...]:
    """Return a temple, a flower (scikit-learn, CC BY) and a portrait (matplotlib, public domain)."""
    with Image.open(Path(get_data_path()) / "sample_data" / "grace_hopper.jpg") as image:
        portrait = image.convert("RGB")
    return (*map(Image.fromarray, load_sample_images().images), portrait)


FOREIGN: Final[Mapping[str, Draw]] = {
    "inverted": lambda pixels, _: np.asarray(_GREATEST - pixels, np.uint8),
    "channels swapped": lambda pixels, _: np.ascontiguousarray(pixels[..., ::-1]),
    "grey": lambda pixels, _: np.asarray(Image.fromarray(pixels).convert("L").convert("RGB")),
    "blurred away": lambda pixels, rng: blur(pixels, rng.uniform(0.03, 0.06), rng),
    "skin": _skin,
    "page": _page,
    "things": _things,
    "noise": _noise,
    "photograph": _photograph,
    "photograph like skin": _photograph_like_skin,
}
"""Draws each kind of picture that is no lesion image and should get no diagnosis.

Each takes a lesion image, shape (H, W, 3). The first five kinds alter it; the others take their size and half
of their colours from it.
"""


def _colour(rng: np.random.Generator, low: int, high: int) -> tuple[int, ...]:
    return tuple(int(value) for value in rng.integers(low, high, 3))


def _box(height: int, width: int, rng: np.random.Generator) -> tuple[float, float, float, float]:
    """Return left, top, right and bottom of a box; small ones are common, as in photographs."""
    size = width * 0.02 * (1 - rng.uniform(0, 0.96)) ** -1
    x, y = rng.uniform(-0.1, 1) * width, rng.uniform(-0.1, 1) * height
    return x, y, x + size * rng.uniform(0.3, 1.5), y + size * rng.uniform(0.3, 1.5)
