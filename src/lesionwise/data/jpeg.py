"""Saving a picture as JPEG and reading it again, as an everyday program does.

Not here: reading a file as a model sees it (`images`), which decodes at a smaller scale.
"""

import io
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lesionwise.page.embed import encoded

_COARSE_COLOURS: Final = 2  # Pillow's number for 4:2:0, its own choice and that of most programs


def jpeg_file(pixels: NDArray[np.uint8], quality: int) -> bytes:
    """Return the content of the JPEG file that Pillow makes of a picture.

    Pillow uses the precise transform of libjpeg, as nearly every program does. `simplejpeg` would be faster,
    but below quality 96 it always uses the fast transform, which gives other pictures.
    """
    return encoded(pixels, "JPEG", quality=quality, subsampling=_COARSE_COLOURS)


def recompress(pixels: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """Return a picture after it was saved as JPEG and read again. Arguments as above."""
    return np.asarray(Image.open(io.BytesIO(jpeg_file(pixels, quality))))
