#!/bin/sh
# datasets: an image folder with one file name that contains "test" leaves out every picture without such a word.
#
# guess     load_dataset("imagefolder", data_dir=..., split="train") gives all pictures of a folder that has one subfolder for each diagnosis.
# versions  datasets 5.2.0, Pillow 13.0.0, pyarrow 26.0.1, Python 3.11
# behaviour Splits are taken from words in the names of files, too (test, eval, val, dev, training; between - . _ or spaces). Ten melanomas
#           and ten nevi: 20 pictures in train. One more that is named patch-test-3.png: the split test has this picture, and the
#           other 20 are in no split. With a second one, dev_camera_4.png, split="validation" has one. No error and no warning.
# exit      0 as described; 1 if all pictures are loaded
set -eu
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check datasets==5.2.0 pillow==13.0.0 pyarrow==26.0.1
cd "$folder"
HF_HOME="$folder/cache" HF_HUB_OFFLINE=1 HF_DATASETS_DISABLE_PROGRESS_BARS=1 "$folder/venv/bin/python" - <<'PYTHON'
import sys
import warnings
from pathlib import Path

from datasets import disable_progress_bars, load_dataset
from PIL import Image

warnings.simplefilter("error")
disable_progress_bars()


def loaded(*more: str) -> dict[str, int]:
    """Write twenty pictures and those that are named, and return how many each split has."""
    data = Path(f"pictures{len(more)}")
    names = [f"{dx}/ISIC_{place:04}.png" for dx in ("mel", "nv") for place in range(10)]
    for place, name in enumerate([*names, *more]):
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (place, 0, 0)).save(data / name)
    found = {split: len(rows) for split, rows in load_dataset("imagefolder", data_dir=str(data)).items()}
    print(f"{len(names) + len(more)} pictures, with {', '.join(more) or 'no such name'}: loaded {found}")
    return found


plain = loaded()
one = loaded("mel/patch-test-3.png")
two = loaded("mel/patch-test-3.png", "nv/dev_camera_4.png")
sys.exit(0 if plain == {"train": 20} and one == {"test": 1} and two == {"validation": 1, "test": 1} else 1)
PYTHON
