#!/bin/sh
# imagecodecs: its HTJ2K decoder does not cut at 255. White pixels of a lossy image become black.
#
# guess     A lossy HTJ2K image decodes to values near the original everywhere; what the wavelets put above 255 is cut to 255,
#           as every JPEG 2000 decoder does. Two decoders of one stream differ by a level or two.
# versions  imagecodecs 2026.3.6 (OpenJPH and OpenJPEG inside), pillow 13.0.0, numpy 2.4.6, Python 3.11
# behaviour Of 230,400 values, htj2k_decode gives 230 that are off by over 100, up to 255: all were 255. jpeg2k_decode (OpenJPEG)
#           reads the same stream to within 3 levels. An image without values near 0 and 255 is read alike by both. No error, no warning.
#           HTJ2K is a transfer syntax of DICOM; specular reflections of a dermatoscope are such white pixels.
# exit      0 as described; 1 if htj2k_decode stays near the original
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
full = np.asarray(small.resize((320, 240), Image.Resampling.BICUBIC))
middle = (full // 2 + 64).astype(np.uint8)
worst = {}
for name, picture in (("values 0 to 255", full), ("values 64 to 191", middle)):
    stream = bytes(imagecodecs.htj2k_encode(picture, reversible=False))
    for decoder in (imagecodecs.htj2k_decode, imagecodecs.jpeg2k_decode):
        difference = np.abs(np.asarray(decoder(stream)).astype(int) - picture)
        worst[name, decoder.__name__] = int(difference.max())
        print(f"{name}, {decoder.__name__}: up to {difference.max()} levels off; {(difference > 100).sum()} values are off by over 100")
wrapped = worst["values 0 to 255", "htj2k_decode"] > 200
others = all(off <= 8 for case, off in worst.items() if case != ("values 0 to 255", "htj2k_decode"))
sys.exit(0 if wrapped and others else 1)
PYTHON
