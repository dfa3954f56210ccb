"""Collections that are a table beside images: how each table is recognised, and what its columns mean.

Here: one record for each form, and turning its rows into a listing. Not here: what the diagnoses are called
(`lesionwise.diagnoses`), and layouts that are more than one table (`isic`, `folders`, `ham10000`, `packed`).

References:
    derm7pt: Kawahara et al. (2019), https://doi.org/10.1109/JBHI.2018.2824327
    PAD-UFES-20: Pacheco et al. (2020), https://doi.org/10.1016/j.dib.2020.106221
    DERM12345: Yilmaz et al. (2024), https://doi.org/10.1038/s41597-024-04104-3
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pandas as pd

from lesionwise import diagnoses, tables
from lesionwise.data.layouts.listing import Listing, find_images, pooled, read_table, without_copies
from lesionwise.diagnoses import DIAGNOSIS_COLUMNS, LabelMap, add_diagnoses, with_map
from lesionwise.errors import DataError
from lesionwise.names import image_id_of
from lesionwise.tables import PACKED_SUFFIXES, PARQUET, SUFFIXES, describe_columns, find_tables
from lesionwise.text_tables import COLUMNS
from lesionwise.wording import counted

MERGED: Final = "merged.csv"
"""Table of `lesionwise.data.merging`."""
LESIONS_ADVICE: Final = (
    "Name the lesion of each image in lesions.csv (image_id,lesion_id) in the folder: without it "
    "photographs of one lesion cannot be kept together. If no lesion was photographed twice, state it with "
    '"lesionwise data lesions DIR --each-image".'
)
TWO_CLASSES: Final = (
    "its table states only malignant or benign, not which of the seven diagnoses, so no model can be "
    "trained on it. Use it as the truth: lesionwise evaluate PREDICTIONS --truth TABLE --malignant."
)
"""Why a collection that only states malignant or benign is no data folder; follows its name and a colon."""
_CONFIRMATION: Final = {
    "histopathology": "histo",
    "serial imaging showing no change": "follow_up",
    "single image expert consensus": "consensus",
    "confocal microscopy with consensus dermoscopy": "confocal",
    "true": "histo",  # "biopsed" of PAD-UFES-20
    "false": "consensus",
}
_ARCHIVE_IMAGE: Final = re.compile(r"isic_\d+")
_WORKBOOKS: Final = (".xlsx", ".xls", ".ods")
_LOWER_CASE: Final = ("image_type", *(name for name in DIAGNOSIS_COLUMNS if name.islower()))
"""Columns that every form may have, in any case."""


@dataclass(frozen=True)
class Form:
    """How the table of a collection is recognised, and what its columns mean.

    Attributes:
        columns: Columns that its table has, in any case.
        also: Its names of columns that `text_tables` does not know, by our name.
        lesion: Its columns that name a lesion together, where that is not `lesion_id` alone.
        labels: Our diagnosis of each of its words; if left out, `lesionwise.diagnoses` finds them.
        clinical: Its column that names a clinical photograph of the same lesion.
        refusal: Why it cannot be used as a data folder.
        note: What a user of the collection should know.
    """

    layout: str
    columns: tuple[str, ...]
    also: Mapping[str, str] = field(default_factory=dict)
    lesion: tuple[str, ...] = ()
    labels: LabelMap | None = None
    clinical: str = ""
    refusal: str = ""
    note: str = ""


_CSV: Final = Form("csv", ("image_id", "dx"))
FORMS: Final = (
    Form(
        "derm7pt",
        ("case_num", "derm", "diagnosis"),
        {"image_id": "derm", "dx": "diagnosis", "localization": "location"},
        lesion=("case_num",),
        labels=diagnoses.DERM7PT,
        clinical="clinic",
    ),
    Form(
        "PAD-UFES-20",
        ("img_id", "diagnostic", "patient_id", "lesion_id"),
        {"dx": "diagnostic", "localization": "region", "dx_type": "biopsed"},
        lesion=("patient_id", "lesion_id"),
        labels=diagnoses.PAD_UFES_20,
        note="PAD-UFES-20 holds clinical photographs by smartphone, not dermatoscopic images. A model of "
        "HAM10000 was not made for them, and its scores show that.",
    ),
    Form("BCN20000", ("bcn_filename", "diagnosis")),
    Form("ISIC 2020", ("image_name", "benign_malignant", "target"), refusal=TWO_CLASSES),
    Form(
        "ISIC 2024",
        ("isic_id", "target"),
        refusal=f"{TWO_CLASSES} To predict its images: "
        "lesionwise predict train-image.hdf5 --out PREDICTIONS.",
    ),
    Form(
        "ISIC 2017",
        ("image_id", "melanoma", "seborrheic_keratosis"),
        refusal="its table separates melanoma, seborrheic keratosis and the rest, not the seven diagnoses.",
    ),
    Form("ISIC archive", ("isic_id", "diagnosis_1")),
    Form("ISIC archive", ("isic_id", "diagnosis")),
    Form("imagefolder", ("file_name", "dx")),
    Form("DERM12345", ("image_id", "label", "sub_class"), {"dx": "label"}, labels=diagnoses.DERM12345),
    _CSV,
)
"""The more particular come first; tables of all but the last may be in a subfolder."""


def read_merged(folder: Path) -> Listing | None:
    """Read a folder with the table of a merge, whatever else is in it."""
    path = folder / MERGED
    ours = path.is_file() and {"image_id", "dx", "path", "collection"} <= _header(path)
    return _read(_CSV, [path], folder) if ours else None


def read_form(folder: Path) -> Listing | None:
    """Read a folder with the table of a collection and its images, by the first form that fits a table."""
    headers = {path: _header(path) for path in _tables(folder)}
    for form in FORMS:
        fitting = [path for path, header in headers.items() if {*form.columns} <= header]
        if form is _CSV:
            fitting = [path for path in fitting if path.parent == folder]
        if fitting:
            return _read(form, without_copies(fitting), folder)
    return None


def verify_seven(path: Path) -> None:
    """Raise if a table belongs to a collection that does not tell the seven diagnoses apart."""
    header = _header(path)
    for form in FORMS:
        if form.refusal and {*form.columns} <= header:
            raise DataError(f"{path}: this is {form.layout}: {form.refusal}")
    first_row = [name.lower() for name in tables.read_table(path).header]
    without_header = first_row[1:] in (["benign"], ["malignant"])
    if _ARCHIVE_IMAGE.fullmatch(first_row[0]) and without_header:
        raise DataError(f"{path}: this is ISIC 2016: {TWO_CLASSES}")


def listing_of(
    form: Form,
    path: Path,
    table: pd.DataFrame,
    images: dict[str, Path],
    advice: str = "",
    *,
    several: Sequence[Path] = (),
) -> Listing:
    """Return a listing of the rows with one of the seven diagnoses; `left_out` names all other rows.

    Args:
        path: The file that the rows come from; the folder if there are several.
        table: Text columns by our names; an empty cell is missing.
        advice: What to do if lesion ids are missing.
    """
    used = {*COLUMNS, *DIAGNOSIS_COLUMNS, *form.also.values(), *form.lesion, form.clinical, "image_type"}
    text = add_diagnoses(table.fillna(""))
    left_out: dict[str, tuple[str, ...]] = {}
    if {"dx", "image_id"} <= set(text):
        why = text["foreign"]
        left_out = {str(name): tuple(ids[ids != ""]) for name, ids in text["image_id"].groupby(why) if name}
        text = text[why == ""].drop(columns="foreign")
    if "dx_type" in text:
        text["dx_type"] = text["dx_type"].map(lambda word: _CONFIRMATION.get(word.lower(), word))
    rest = text.mask(text == "")
    notes = (*([form.note] if form.note else []), *_licences(rest))
    files = [file for file in several or [path] if file.suffix.lower() in (*SUFFIXES, *PACKED_SUFFIXES)]
    columns = " ".join(describe_columns(file, used) for file in files)
    return Listing(form.layout, path, rest, images, advice, left_out, notes, columns)


def _tables(folder: Path) -> Iterator[Path]:
    """Yield the tables that a folder and its subfolders hold, except those of lesions and of pixels."""
    inside = sorted(path for path in folder.glob("*") if path.is_dir() and not path.name.startswith("."))
    for place in (folder, *inside):
        with suppress(FileNotFoundError):  # it vanished after it was listed, or stands for one part
            for path in find_tables(place):
                if path.name != "lesions.csv" and not path.name.startswith("hmnist_"):
                    yield path


def why_no_table(folder: Path) -> list[str]:
    """Return why the tables of a folder cannot be used, and which folders in it have tables of their own."""
    reasons = []
    for path in _tables(folder):
        try:
            tables.read_table(path)
        except DataError as error:
            reasons.append(str(error))
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in _WORKBOOKS:
            reasons.append(f'{path}: is a workbook, which lesionwise does not read. Save it as "CSV UTF-8".')
        if path.suffix.lower() == PARQUET:
            reasons.append(
                f"{path}: expected the bytes of each image in a column image but found none. Export the "
                "images with their bytes embedded."
            )
    own = sorted({path.parent for path in _tables(folder) if {*_CSV.columns} <= _header(path)} - {folder})
    if own:
        names = ", ".join(place.relative_to(folder).as_posix() for place in own)
        reasons.append(
            f"Folders in it with a table of their own: {names}. Pass one of them, or join several with "
            '"lesionwise data merge".'
        )
    return reasons


def _header(path: Path) -> set[str]:
    """Return the columns of a table in lower case; none if it cannot be read, as another may be usable."""
    try:
        table = tables.read_table(path)
    except DataError:
        return set()
    named = {"image_id"} if {"image_id", "path"} & set(table.names) else set()
    return {name.lower() for name in table.header} | named


def _read(form: Form, paths: list[Path], folder: Path) -> Listing:
    verify_seven(paths[0])
    table, several = pooled({path: _rows(form, path) for path in paths}, folder), len(paths) > 1
    if several and ("image_id" not in table or table["image_id"].dropna().duplicated().any()):
        names = ", ".join(path.relative_to(folder).as_posix() for path in paths)
        raise DataError(
            f"{folder}: expected one table with {' and '.join(form.columns)}, or several of different "
            f"images, but found {names}. Keep only one there."
        )
    images = _images(table, folder, alone=paths[0].name == MERGED)
    if form.clinical in table:
        clinical = {image_id_of(name) for name in table[form.clinical].dropna()} - set(table["image_id"])
        images = {image_id: path for image_id, path in images.items() if image_id not in clinical}
    place = folder if several else paths[0]
    return listing_of(form, place, table, images, LESIONS_ADVICE, several=paths)


def _images(table: pd.DataFrame, folder: Path, *, alone: bool) -> dict[str, Path]:
    """Return the image files of a folder by id: first those that the column path names, then all others.

    A path of another machine stands for the file of its name. Files without a row are kept, for a finding.

    Args:
        alone: Whether the named files are all that count, as in a merge: the folder holds no images.
    """
    if "path" not in table:
        return find_images([folder])
    rows = table[["image_id", "path"]].dropna().itertuples(index=False)
    wanted = {str(image_id): Path(path) for image_id, path in rows}
    named = {image_id: path for image_id, path in wanted.items() if path.is_file()}
    if alone:
        return named
    found = find_images([folder], but={path.resolve() for path in named.values()})
    for image_id in wanted.keys() - named.keys():
        if (file := found.pop(image_id_of(wanted[image_id].name), None)) is not None:
            named[image_id] = file
    return found | named


def _rows(form: Form, path: Path) -> pd.DataFrame:
    table = read_table(path)
    meant = {*form.columns, *form.also.values(), *form.lesion, form.clinical, *_LOWER_CASE}
    table.columns = [name.lower() if name.lower() in meant else name for name in table.columns]
    table = table.rename(columns={theirs: ours for ours, theirs in form.also.items()})
    if "path" in table:
        if "image_id" not in table:
            table["image_id"] = table["path"].map(image_id_of, na_action="ignore")
        table["path"] = table["path"].map(
            lambda place: str(path.parent / place.replace("\\", "/")), na_action="ignore"
        )
    if "image_id" in form.also:
        table["image_id"] = table["image_id"].map(image_id_of, na_action="ignore")
    if form.labels is not None:
        names = table["dx"].fillna("").str.strip()
        in_lower_case = all(name == name.lower() for name in form.labels)
        table = with_map(table, names.str.lower() if in_lower_case else names, form.labels)
    if form.lesion:
        parts = table[list(form.lesion)].fillna("").agg("_".join, axis=1)
        kind = f"{form.lesion[0].removesuffix('_num')} " if len(form.lesion) == 1 else ""
        table["lesion_id"] = kind + parts
    return table


def _licences(table: pd.DataFrame) -> tuple[str, ...]:
    """Return a sentence on the licences of the images, where the table names them."""
    if "license" not in table:
        return ()
    counts = table["license"].fillna("not stated").value_counts()
    named = ", ".join(f"{name} of {counted(int(count), 'image')}" for name, count in counts.items())
    return (f"Licences: {named}. They stay in the column license.",)
