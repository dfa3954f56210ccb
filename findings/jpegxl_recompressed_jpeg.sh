#!/bin/sh
# JPEG XL: a JPEG that was recompressed without loss has other pixels, by up to 8 levels, and two readers disagree about them.
#
# guess     JPEG XL recompresses a JPEG without loss: the JPEG comes back to the byte. So its pixels are those of the JPEG, whoever
#           reads the file, to within a level.
# versions  imagecodecs 2026.3.6 (libjxl inside), pillow-jxl-plugin 1.3.8, pillow 13.0.0, numpy 2.4.6, Python 3.11
# behaviour The bytes come back. Pillow's plugin rebuilds the JPEG and decodes that: no pixel differs. imagecodecs decodes the
#           coefficients with libjxl's own transform and colours: pixels differ by up to 3 to 8 levels, on average by half a level
#           and more. One file therefore has two sets of pixels. DICOM has a transfer syntax for such files
#           (JPEG XL JPEG Recompression).
# exit      0 as described; 1 if both readers give the pixels of the JPEG
set -eu
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    imagecodecs==2026.3.6 pillow-jxl-plugin==1.3.8 pillow==13.0.0 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import io
import sys

import imagecodecs
import numpy as np
import pillow_jxl  # noqa: F401 (registers the format)
from PIL import Image

rng = np.random.default_rng(0)
small = Image.fromarray(rng.integers(0, 256, (30, 40, 3), dtype=np.uint8))
picture = small.resize((320, 240), Image.Resampling.BICUBIC)
as_described = True
for quality, subsampling in ((95, "4:4:4"), (90, "4:2:0"), (75, "4:2:0"), (50, "4:2:0")):
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality, subsampling=subsampling)
    jpeg = buffer.getvalue()
    pixels = np.asarray(Image.open(io.BytesIO(jpeg))).astype(int)
    jxl = bytes(imagecodecs.jpegxl_encode_jpeg(jpeg))
    same = bytes(imagecodecs.jpegxl_decode_jpeg(jxl)) == jpeg
    plugin = int(np.abs(np.asarray(Image.open(io.BytesIO(jxl))).astype(int) - pixels).max())
    direct = np.abs(np.asarray(imagecodecs.jpegxl_decode(jxl)).astype(int) - pixels)
    print(
        f"quality {quality}, {subsampling}: JPEG comes back {same}; pixels differ by up to {plugin} in Pillow, "
        f"by up to {direct.max()} and {direct.mean():.2f} on average in imagecodecs"
    )
    as_described &= same and plugin == 0 and direct.max() >= 3 and direct.mean() > 0.4
sys.exit(0 if as_described else 1)
PYTHON
