"""What a page shows, inside the page: no other file is needed, and nothing is fetched."""

import base64

import numpy as np
from numpy.typing import NDArray

from lesionwise.encoding import encoded


def data_uri(content: bytes, media_type: str = "image/jpeg") -> str:
    """Return content as an address that holds it (RFC 2397)."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def jpeg_uri(pixels: NDArray[np.uint8], *, quality: int) -> str:
    """Return an image as an address that holds it as JPEG."""
    return data_uri(encoded(pixels, "JPEG", quality=quality))
