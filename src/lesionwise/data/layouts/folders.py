"""Layouts without a CSV: one folder for each diagnosis, and PH2, whose list is a text between double bars.

References:
    PH2: Mendonça et al. (2013), https://doi.org/10.1109/EMBC.2013.6610779
"""

from pathlib import Path

import pandas as pd

from lesionwise.data.layouts.forms import LESIONS_ADVICE, Form, listing_of
from lesionwise.data.layouts.listing import Listing
from lesionwise.diagnoses import PH2, code_of, with_map
from lesionwise.errors import DataError
from lesionwise.files import walk_files
from lesionwise.labels import CODES
from lesionwise.names import IMAGE_SUFFIXES, image_id_of


def read_class_folders(folder: Path) -> Listing | None:
    """Read folders named by diagnosis: `mel/…`, `nv/…`; also below `train/`, `test/` and the like.

    Folder names are the seven codes in any case, or their full names as model hubs have them. Other folders
    that hold images are a fault: whether they are a diagnosis cannot be guessed.
    """
    paths = [path for path in walk_files(folder) if path.suffix.lower() in IMAGE_SUFFIXES]
    dx = {path: code_of(path.parent.name) for path in paths}
    if not any(dx.values()):
        return None
    strays = sorted({path.parent.relative_to(folder).as_posix() for path in paths if dx[path] is None})
    if strays:
        raise DataError(
            f"{folder}: expected images in folders named {', '.join(CODES)} only but found some in "
            f"{', '.join(strays)}. Rename these folders or move them away."
        )
    files: dict[str, list[Path]] = {}
    for path in paths:
        files.setdefault(image_id_of(path.name), []).append(path)
    for image_id, same in files.items():
        if len(same) > 1:
            where = ", ".join(path.relative_to(folder).as_posix() for path in same)
            raise DataError(f"{folder}: {image_id} is in more than one folder ({where}). Keep one of them.")
    images = {image_id: path for image_id, [path] in files.items()}
    table = pd.DataFrame({"image_id": list(images), "dx": list(dx.values())})
    table.index = pd.RangeIndex(2, len(table) + 2)
    return Listing("class folders", folder, table, images, LESIONS_ADVICE)


def read_ph2(folder: Path) -> Listing | None:
    """Read PH2: `PH2_dataset.txt`, a table between double bars, and a folder of bitmaps for each case.

    PH2 documents 200 lesions with one image each, so an image is its lesion.
    """
    path = folder / "PH2_dataset.txt"
    if not path.is_file():
        return None
    rows: dict[int, tuple[str, str]] = {}
    name_column, code_column = 1, 3  # behind the leading bars: name, histological, clinical diagnosis
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        cells = [cell.strip() for cell in line.split("||")]
        if len(cells) > code_column and cells[name_column].startswith("IMD"):
            rows[number] = cells[name_column], cells[code_column]
    if not rows:
        raise DataError(f"{path}: expected rows like '|| IMD003 || … || 0 || …' but found none.")
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["image_id", "code"])
    table["lesion_id"] = table["image_id"]
    images = {image.stem: image for image in sorted(folder.rglob("*_Dermoscopic_Image/*.bmp"))}
    return listing_of(Form("PH2", ()), path, with_map(table, table["code"], PH2), images)
