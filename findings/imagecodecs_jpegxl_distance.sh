#!/bin/sh
# imagecodecs: jpegxl_encode(distance=0) loses up to 11 levels and writes a larger file than the lossless default.
#
# guess     Distance 0 is JPEG XL's name for "mathematically lossless": that is what it does in the reference encoder's own tool.
# versions  imagecodecs 2026.3.6 (libjxl inside), pillow 13.0.0, numpy 2.4.6, Python 3.11
# behaviour Without options the image comes back exactly. Who adds distance=0 to be sure gets a lossy file: values differ by
#           up to 11 levels, and the file is a quarter larger. level=100 does the same; level=101 is lossless again.
#           No error, no warning.
# exit      0 as described; 1 if distance=0 is lossless
set -eu
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check imagecodecs==2026.3.6 pillow==13.0.0 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import imagecodecs
import numpy as np
from PIL import Image

rng = np.random.default_rng(0)
small = Image.fromarray(rng.integers(0, 256, (30, 40, 3), dtype=np.uint8))
picture = np.asarray(small.resize((320, 240), Image.Resampling.BICUBIC))
size, lost = {}, {}
for name, options in (
    ("no option", {}), ("distance=0", {"distance": 0}), ("level=100", {"level": 100}), ("level=101", {"level": 101}),
    ("lossless=True, distance=0", {"lossless": True, "distance": 0}),
):
    stream = bytes(imagecodecs.jpegxl_encode(picture, **options))
    size[name] = len(stream)
    lost[name] = int(np.abs(imagecodecs.jpegxl_decode(stream).astype(int) - picture).max())
    print(f"{name}: {size[name]} bytes; values differ by up to {lost[name]}")
exact = all(lost[name] == 0 for name in ("no option", "level=101", "lossless=True, distance=0"))
sys.exit(0 if exact and lost["distance=0"] > 3 and size["distance=0"] > size["no option"] else 1)
PYTHON
