"""The heatmap of an answer, as a transparent picture over the uploaded one.

Here: from class activation maps to a PNG for the whole upright image. Not here: what such a map proves, which
is little (`docs/serve.md`).
"""

import io
from typing import Final

import numpy as np
from PIL import Image

from lesionwise.arrays import Float32s
from lesionwise.bundle.description import Description
from lesionwise.data.preprocess import FIELD_OF_VIEW
from lesionwise.page.heatmap import positive_part, viridis
from lesionwise.serve.schema import ViewBox

LONG_SIDE_PX: Final = 128  # for maps with some eight places a side; browsers smooth when they enlarge
OPAQUE: Final = 0.9  # opacity of the brightest place
_SHADES: Final = 64


def locate_view(description: Description, width: int, height: int) -> ViewBox | None:
    """Return where the network looks; None if that depends on the image's content."""
    rule = description.input
    if FIELD_OF_VIEW in rule.steps:
        return None
    scale = min(height / rule.height, width / rule.width) / rule.zoom
    part_x, part_y = min(1.0, rule.width * scale / width), min(1.0, rule.height * scale / height)
    return ViewBox(left=(1 - part_x) / 2, top=(1 - part_y) / 2, width=part_x, height=part_y)


def draw_heatmap(cam: Float32s, view: ViewBox, width: int, height: int) -> bytes:
    """Return a PNG with the shape of the whole image, clear where nothing supports the class.

    Args:
        cam: What each place adds to the logit of the class, shape (h, w).
    """
    scale = LONG_SIDE_PX / max(width, height)
    sides = max(1, round(width * scale)), max(1, round(height * scale))
    left, top = round(view.left * sides[0]), round(view.top * sides[1])
    box = (
        max(1, min(sides[0] - left, round(view.width * sides[0]))),
        max(1, min(sides[1] - top, round(view.height * sides[1]))),
    )
    smooth = np.asarray(Image.fromarray(np.ascontiguousarray(cam)).resize(box, Image.Resampling.BICUBIC))
    shares = positive_part(smooth)
    whole = Image.new("P", sides, 0)
    whole.paste(Image.fromarray((shares * (_SHADES - 1)).round().astype(np.uint8)), (left, top))
    whole.putpalette(_PALETTE)
    file = io.BytesIO()
    whole.save(file, "PNG", transparency=_ALPHA, compress_level=4)
    return file.getvalue()


_PALETTE: Final = viridis(np.linspace(0, 1, _SHADES, dtype=np.float32)).round().astype(np.uint8).tobytes()
_ALPHA: Final = (np.linspace(0, 1, _SHADES) * OPAQUE * 255).round().astype(np.uint8).tobytes()
