"""PH2: 200 dermatoscopic images of nevi and melanomas.

References:
    Mendonça et al. (2013), https://doi.org/10.1109/EMBC.2013.6610779
"""

from pathlib import Path

import pandas as pd

from lesionwise.data.layouts.forms import Form, listing_of
from lesionwise.data.layouts.listing import Listing
from lesionwise.diagnoses import PH2, with_map
from lesionwise.errors import DataError


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
