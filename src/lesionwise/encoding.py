"""From pixels to the content of an image file or a data URI, and a picture saved as JPEG and read again.

Not here: reading a file as a model sees it (`data.images`), which decodes at a smaller scale.
"""

import base64
import io
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_COARSE_COLOURS: Final = 2  # Pillow's number for 4:2:0, its own choice and that of most programs


def encoded(pixels: NDArray[np.uint8], format_: str, **options: Any) -> bytes:  # noqa: ANN401 (Pillow's)
    """Return the content of the file that Pillow makes of an image: "JPEG" or "PNG"."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format_, **options)
    return file.getvalue()


def jpeg_file(pixels: NDArray[np.uint8], quality: int) -> bytes:
    """Return the content of the JPEG file that an everyday program makes of a picture.

    Pillow uses the precise transform of libjpeg, as nearly every program does. `simplejpeg` would be faster,
    but below quality 96 it always uses the fast transform, which gives other pictures.
    """
    return encoded(pixels, "JPEG", quality=quality, subsampling=_COARSE_COLOURS)


def recompress(pixels: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """Return a picture after it was saved as JPEG and read again; arguments as of `jpeg_file`."""
    return np.asarray(Image.open(io.BytesIO(jpeg_file(pixels, quality))))


def data_uri(content: bytes, media_type: str = "image/jpeg") -> str:
    """Return content as a data URI (RFC 2397), for a page that needs no other file."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def jpeg_uri(pixels: NDArray[np.uint8], *, quality: int) -> str:
    """Return an image as a data URI of a JPEG."""
    return data_uri(encoded(pixels, "JPEG", quality=quality))
