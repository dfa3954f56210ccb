"""Pictures inside a page, which then needs no other file and fetches nothing."""

import base64

import numpy as np
from numpy.typing import NDArray

from lesionwise.encoding import encoded


def data_uri(content: bytes, media_type: str = "image/jpeg") -> str:
    """Return content as a data URI (RFC 2397)."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def jpeg_uri(pixels: NDArray[np.uint8], *, quality: int) -> str:
    """Return an image as a data URI of a JPEG."""
    return data_uri(encoded(pixels, "JPEG", quality=quality))
