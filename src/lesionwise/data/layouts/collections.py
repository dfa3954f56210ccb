"""Other public collections that a model of HAM10000 is evaluated on: PH2, derm7pt, PAD-UFES-20.

Here: reading them as they are published. Not here: what their diagnoses are called (`label_maps`).

References:
    PH2: Mendonça et al. (2013), https://doi.org/10.1109/EMBC.2013.6610779
    derm7pt: Kawahara et al. (2019), https://doi.org/10.1109/JBHI.2018.2824327
    PAD-UFES-20: Pacheco et al. (2020), https://doi.org/10.1016/j.dib.2020.106221
"""

from pathlib import Path
from typing import Final

import pandas as pd

from lesionwise.data.layouts.label_maps import DERM7PT, PAD_UFES_20, PH2, LabelMap
from lesionwise.data.layouts.listing import Listing, find_images, read_table
from lesionwise.errors import DataError

_NOT_DERMATOSCOPIC: Final = (
    "PAD-UFES-20 holds clinical photographs by smartphone, not dermatoscopic images: a model of HAM10000 is "
    "outside its field here, and its scores say so."
)


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
    raw = pd.DataFrame.from_dict(rows, orient="index", columns=["image_id", "diagnosis"])
    raw["lesion_id"] = raw["image_id"]
    images = {path.stem: path for path in sorted(folder.rglob("*_Dermoscopic_Image/*.bmp"))}
    return _mapped("PH2", path, raw, images, PH2)


def read_derm7pt(folder: Path) -> Listing | None:
    """Read derm7pt: `meta/meta.csv` and `images/`; of each case (a lesion) the dermatoscopic image."""
    path = folder / "meta" / "meta.csv"
    if not path.is_file():
        return None
    meta = read_table(path)
    _require(meta, ("case_num", "diagnosis", "derm"), path)
    raw = pd.DataFrame(
        {
            "image_id": meta["derm"].map(lambda name: Path(name).stem, na_action="ignore"),
            "lesion_id": "case " + meta["case_num"],
            "diagnosis": meta["diagnosis"].str.strip().str.lower(),
            "sex": meta.get("sex"),
            "localization": meta.get("location"),
        }
    )
    wanted = set(raw["image_id"].dropna())
    clinical = set(meta["clinic"].dropna().map(lambda name: Path(name).stem)) if "clinic" in meta else set()
    found = find_images([folder / "images"])
    images = {stem: image for stem, image in found.items() if stem in wanted or stem not in clinical}
    return _mapped("derm7pt", path, raw, images, DERM7PT)


def read_pad_ufes_20(folder: Path) -> Listing | None:
    """Read PAD-UFES-20: `metadata.csv` with `img_id` and `diagnostic`, and `imgs_part_1` to `imgs_part_3`."""
    path = folder / "metadata.csv"
    if not path.is_file():
        return None
    meta = read_table(path)
    if not {"img_id", "diagnostic"} <= set(meta.columns):
        return None
    _require(meta, ("patient_id", "lesion_id"), path)
    histo = (
        meta["biopsed"].str.lower().map({"true": "histo", "false": "consensus"})
        if "biopsed" in meta
        else None
    )
    raw = pd.DataFrame(
        {
            "image_id": meta["img_id"].map(lambda name: Path(name).stem, na_action="ignore"),
            "lesion_id": meta["patient_id"] + "_" + meta["lesion_id"],
            "diagnosis": meta["diagnostic"],
            "dx_type": histo,
            "age": meta.get("age"),
            "sex": meta.get("gender"),
            "localization": meta.get("region"),
        }
    )
    listing = _mapped("PAD-UFES-20", path, raw, find_images([folder]), PAD_UFES_20)
    return Listing(**{**vars(listing), "notes": (_NOT_DERMATOSCOPIC,)})


def _mapped(
    layout: str, path: Path, raw: pd.DataFrame, images: dict[str, Path], label_map: LabelMap
) -> Listing:
    """Translate the diagnoses; a name that the map does not know stays, to become a finding."""
    foreign = raw["diagnosis"].map(lambda name: name in label_map and label_map[name] is None)
    left_out = {
        str(name): tuple(ids.dropna())
        for name, ids in raw["image_id"][foreign].groupby(raw["diagnosis"][foreign])
    }
    table = raw[~foreign].copy()
    table["dx"] = table["diagnosis"].map(lambda name: label_map.get(name, name), na_action="ignore")
    return Listing(layout, path, table.drop(columns="diagnosis"), images, left_out=left_out)


def _require(table: pd.DataFrame, columns: tuple[str, ...], path: Path) -> None:
    missing = [column for column in columns if column not in table]
    if missing:
        raise DataError(
            f"{path}: expected the columns {', '.join(columns)} but {', '.join(missing)} is missing; "
            f"found {', '.join(map(str, table.columns))}."
        )
