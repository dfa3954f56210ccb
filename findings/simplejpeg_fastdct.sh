#!/bin/sh
# simplejpeg: fastdct=False changes nothing. Below quality 96 the fast transform is used all the same.
#
# guess     fastdct=False asks for the accurate transform at any quality, so that the file has the pixels of one that
#           Pillow writes, and fastdct=True gives other bytes.
# versions  simplejpeg 1.9.0, pillow 13.0.0, numpy 2.4.6, Python 3.11
# behaviour Both settings write the same bytes at every quality tried. Below quality 96 the pixels differ from
#           those of Pillow's file of the same quality and subsampling; from 96 on they are equal.
# exit      0 as described; 1 if it changes
set -eu
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check simplejpeg==1.9.0 pillow==13.0.0 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import io
import sys

import numpy as np
import simplejpeg
from PIL import Image

rng = np.random.default_rng(0)
small = Image.fromarray(rng.integers(0, 256, (30, 40, 3), dtype=np.uint8))
picture = np.asarray(small.resize((320, 240), Image.Resampling.BICUBIC))
same, pillow = {}, {}
for quality in (50, 75, 90, 95, 96, 100):
    fast, slow = (
        simplejpeg.encode_jpeg(picture, quality=quality, colorsubsampling="420", fastdct=fast) for fast in (True, False)
    )
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=quality, subsampling="4:2:0")
    read = [np.asarray(Image.open(io.BytesIO(content))).astype(int) for content in (slow, buffer.getvalue())]
    same[quality] = fast == slow
    pillow[quality] = int((read[0] != read[1]).sum())
    print(f"quality {quality}: same bytes {same[quality]}; pixels that differ from Pillow's file: {pillow[quality]}")
sys.exit(0 if all(same.values()) and all((pillow[q] > 0) == (q < 96) for q in pillow) else 1)
PYTHON
