#!/bin/sh
# torchvision: `rotate` and `affine` turn a picture by the same angle in opposite directions.
#
# guess     A library turns by +30 degrees in one direction.
# versions  torchvision 0.29.2, torch 2.15.0, pillow 13.0.0, numpy 2.4.6, Python 3.11 (CPU)
# behaviour `rotate(30)` turns to the left, as Pillow, OpenCV, SciPy and scikit-image do. `affine(angle=30)` turns to the right. So do
#           kornia's `RandomRotation` (left) and `RandomAffine` (right), and MONAI's `Rotate` turns to the right. The documentation
#           states each direction, in its own place. Whoever states the angle of a made-up photograph, or undoes one
#           transform with the other, gets twice the angle. No error, no warning. (kornia and MONAI were asked apart from this script.)
# exit      0 as described; 1 if both turn the same way
set -eu
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check torchvision==0.29.2 torch==2.15.0 pillow==13.0.0 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import numpy as np
import torch
from PIL import Image
from torchvision.transforms.v2.functional import affine, rotate

bar = np.zeros((101, 101), np.uint8)
bar[48:53, 70:95] = 255  # on the right, at half height


def direction(picture: np.ndarray) -> str:
    height = np.nonzero(picture > 128)[0].mean()
    return "left" if height < 45 else "right" if height > 55 else "neither"


tensor = torch.from_numpy(bar)[None]
turned = {
    "Pillow rotate": np.asarray(Image.fromarray(bar).rotate(30)),
    "torchvision rotate": rotate(tensor, 30)[0].numpy(),
    "torchvision affine": affine(tensor, 30, [0, 0], 1.0, [0, 0])[0].numpy(),
}
found = {name: direction(picture) for name, picture in turned.items()}
for name, way in found.items():
    print(f"{name} by 30 degrees turns to the {way}")
sys.exit(0 if list(found.values()) == ["left", "left", "right"] else 1)
PYTHON
