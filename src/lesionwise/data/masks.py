"""Lesion masks: where the lesion is in each photograph, for data sets that have masks.

Here: finding the masks beside the images, and laying one over an image as a model sees it. Masks only judge
(does a model look at the lesion, how dark is the skin around it); no model is ever given one.

References:
    Tschandl, Rinner, Apalla et al. (2020), https://doi.org/10.1038/s41591-020-0942-0 (the masks of HAM10000)
"""

import io
import zipfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, UnidentifiedImageError

from lesionwise.arrays import Booleans, Float32s
from lesionwise.errors import DataError, reraised

ARCHIVE: Final = "HAM10000_segmentations_lesion_tschandl.zip"
SUFFIX: Final = "_segmentation.png"
_UNREADABLE: Final = (OSError, UnidentifiedImageError, zipfile.BadZipFile, ValueError, SyntaxError)
_AGAIN: Final = ". Download it again, or move it away."
_INSIDE: Final = 0.5  # of the greatest grey: masks are 0 or 255
Box = tuple[float, float, float, float]
WHOLE: Final[Box] = (0, 0, 1, 1)


class LesionMasks:
    """The masks of a data folder, each read when it is wanted; `content` returns its bytes by image id."""

    def __init__(self, content: Mapping[str, Callable[[], bytes]], source: Path) -> None:
        self._content = content
        self.source = source

    def __contains__(self, image_id: object) -> bool:
        return image_id in self._content

    def __len__(self) -> int:
        return len(self._content)

    def read(self, image_id: str) -> Booleans:
        """Return where the lesion is, shape (H, W) of the photograph."""
        what = f"{self.source}: the mask of {image_id} cannot be read: "
        with (
            reraised(DataError, what, *_UNREADABLE),
            Image.open(io.BytesIO(self._content[image_id]())) as image,
        ):
            grey = np.asarray(image.convert("L"))
        return np.asarray(grey > _INSIDE * 255)


def find_masks(folder: Path) -> LesionMasks | None:
    """Return the masks beside the images of a data folder, or None where there are none.

    Args:
        folder: Holds `HAM10000_segmentations_lesion_tschandl.zip`, as it is downloaded, or a folder of that
            name with a `<image id>_segmentation.png` for each image.
    """
    folder = folder if folder.is_dir() else folder.parent  # of one part of a challenge
    archive, unpacked = folder / ARCHIVE, folder / ARCHIVE.removesuffix(".zip")
    if unpacked.is_dir():
        files = sorted(unpacked.rglob(f"*{SUFFIX}"))
        return LesionMasks({file.name.removesuffix(SUFFIX): file.read_bytes for file in files}, unpacked)
    if not archive.is_file():
        return None
    with reraised(DataError, f"{archive}: cannot be read: ", OSError, zipfile.BadZipFile, after=_AGAIN):
        opened = zipfile.ZipFile(archive)
    names = {Path(name).name: name for name in opened.namelist() if name.endswith(SUFFIX)}
    content = {short.removesuffix(SUFFIX): partial(opened.read, name) for short, name in names.items()}
    return LesionMasks(content, archive)


def fit_mask(mask: Booleans, size: tuple[int, int], *, part: Box = WHOLE) -> Float32s:
    """Return which part of each pixel, from 0 to 1, is lesion in an image as `read_image` gives it.

    Args:
        mask: Where the lesion is in the photograph, shape (any height, any width).
        part: Left, top, right and bottom of what the model keeps of the photograph before it cuts and
            resizes it, as fractions of its sides; another than the whole where the field of view is cropped.
    """
    height, width = mask.shape
    left, right = part[0] * width, part[2] * width
    top, bottom = part[1] * height, part[3] * height
    scale = min((bottom - top) / size[0], (right - left) / size[1])
    box_height, box_width = size[0] * scale, size[1] * scale
    middle_y, middle_x = (top + bottom) / 2, (left + right) / 2
    box = (
        max(0.0, middle_x - box_width / 2),
        max(0.0, middle_y - box_height / 2),
        min(float(width), middle_x + box_width / 2),
        min(float(height), middle_y + box_height / 2),
    )
    image = Image.fromarray(mask.astype(np.float32))
    return np.asarray(image.resize(size[::-1], Image.Resampling.BOX, box=box), np.float32)
