#!/bin/sh
# datasets: a picture that was made smaller with `thumbnail`, or painted over, is stored as it was in its file.
#
# guess     A dataset of pictures stores the pixels that it is given.
# versions  datasets 5.2.0, pillow 13.0.0, Python 3.11
# behaviour A picture of Pillow that was opened from a file remembers its name, and methods that change it in place (`thumbnail`, `paste`,
#           `putpixel`) keep that name. `datasets` then stores the name and not the pixels: a picture made small comes back large,
#           and one whose label was painted over comes back with it. `map` with such a function changes nothing. `resize`,
#           `convert` and all methods that return a new picture are stored as they should be. No error, no warning.
# exit      0 as described; 1 if the pixels are stored
set -eu
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check datasets==5.2.0 pillow==13.0.0
cd "$folder"
HF_HOME="$folder" HF_HUB_OFFLINE=1 "$folder/venv/bin/python" - <<'PYTHON'
import sys

from datasets import Dataset, Features
from datasets import Image as ImageFeature
from PIL import Image

Image.linear_gradient("L").convert("RGB").save("picture.png")


def stored(picture: Image.Image) -> Image.Image:
    return Dataset.from_dict({"image": [picture]}, features=Features({"image": ImageFeature()}))[0]["image"]


def shrink(row: dict) -> dict:
    row["image"].thumbnail((32, 32))
    return row


small = Image.open("picture.png")
small.thumbnail((32, 32))
painted = Image.open("picture.png")
painted.paste((0, 0, 0), (0, 0, 256, 256))
resized = Image.open("picture.png").resize((32, 32))
mapped = Dataset.from_dict({"image": ["picture.png"]}).cast_column("image", ImageFeature()).map(shrink)
sizes = {"thumbnail": stored(small).size, "map of thumbnail": mapped[0]["image"].size, "resize": stored(resized).size}
for name, size in sizes.items():
    print(f"{name}: asked for (32, 32), stored {size}")
brightest = max(high for _, high in stored(painted).getextrema())
print(f"painted black: the brightest value given is 0, stored {brightest}")
sys.exit(0 if list(sizes.values()) == [(256, 256), (256, 256), (32, 32)] and brightest == 255 else 1)
PYTHON
