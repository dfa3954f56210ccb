"""What a page shows, inside the page: no other file is needed, and nothing is fetched."""

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def data_uri(content: bytes, media_type: str = "image/jpeg") -> str:
    """Return content as an address that holds it (RFC 2397)."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def jpeg_uri(pixels: NDArray[np.uint8], *, quality: int) -> str:
    """Return an image as an address that holds it as JPEG."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return data_uri(buffer.getvalue())
