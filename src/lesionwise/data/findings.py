"""Coded findings: what is wrong with a data folder, where, and what to do about it.

Not here: reading a folder (`layouts`) and judging pixels.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

import pandas as pd

from lesionwise.data.layouts import PLACE, Listing
from lesionwise.errors import FindingsError
from lesionwise.labels import CODES
from lesionwise.wording import counted, shortened

REQUIRED_COLUMNS: Final = ("lesion_id", "image_id", "dx")
OLDEST_YEARS: Final = 110
_SHOWN: Final = 12  # places named in a message; the finding itself holds all
Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Finding:
    """One kind of fault with every place where it was found.

    Attributes:
        code: Stable name, such as `D002`; see `docs/findings.md`.
        severity: An error stops training; a warning does not.
        rows: Line numbers in the table file, the header being line 1; with the file if there are several.
        details: What a reader of the JSON may want beyond that, such as pairs or scores.
    """

    code: str
    severity: Severity
    message: str
    remedy: str
    rows: tuple[int | str, ...] = ()
    ids: tuple[str, ...] = ()
    details: tuple[dict[str, Any], ...] = ()

    @property
    def anchor(self) -> str:
        """Where the documentation explains it."""
        return f"docs/findings.md#{self.code.lower()}"

    def to_json(self) -> dict[str, Any]:
        """Return plain dictionaries and lists, with nothing shortened."""
        lists = {"rows": list(self.rows), "ids": list(self.ids), "details": list(self.details)}
        texts = {name: text for name, text in vars(self).items() if name not in lists}
        return {**texts, "anchor": self.anchor, **{name: found for name, found in lists.items() if found}}

    def __str__(self) -> str:
        places = ""
        if self.rows:
            places = f" Rows: {shortened([str(row) for row in self.rows])}."
        elif self.ids:
            places = f" Images: {shortened(self.ids)}."
        return f"{self.code} {self.severity}: {self.message}.{places} {self.remedy}"


def check_listing(listing: Listing) -> list[Finding]:
    """Return every fault of a folder's table, none of them raised."""
    missing = [column for column in REQUIRED_COLUMNS if column not in listing.table]
    if missing:
        return [_missing_columns(listing, missing)]
    found = (*_required_cells(listing), *_images(listing), *_odd_values(listing.table))
    return sorted((finding for finding in found if finding is not None), key=lambda finding: finding.code)


def raise_findings(findings: list[Finding], source: str) -> None:
    """Raise if any finding is an error, naming all of them."""
    if any(finding.severity == "error" for finding in findings):
        lines = [f"{source}: the data cannot be used as it is.", *map(str, findings)]
        raise FindingsError("\n".join(lines), findings)


def _missing_columns(listing: Listing, missing: list[str]) -> Finding:
    message = (
        f"expected the columns {', '.join(REQUIRED_COLUMNS)} but {', '.join(missing)} "
        f"is missing; found {', '.join(str(name) for name in listing.table.columns if name != PLACE)}"
    )
    advice = listing.advice if "lesion_id" in missing else ""
    return Finding(
        "D001", "error", message, advice or f"Rename or add the column in {listing.table_file.name}."
    )


def _required_cells(listing: Listing) -> Iterator[Finding | None]:
    table = listing.table
    empty = table[list(REQUIRED_COLUMNS)].isna().any(axis=1)
    advice = listing.advice if table["lesion_id"].isna().any() else ""
    remedy = f"Fill in or remove the row. {advice}".rstrip()
    yield _of_rows("D002", "image id, lesion id or diagnosis is empty", remedy, table[empty])
    again = table["image_id"].duplicated(keep=False) & table["image_id"].notna()
    yield _of_rows("D003", "the same image_id in several rows", "Keep one row for each image.", table[again])
    unknown = table[table["dx"].notna() & ~table["dx"].isin(CODES)]
    names = ", ".join(sorted(map(repr, unknown["dx"].unique())))
    message = f"diagnosis {names} is none of {', '.join(CODES)}"
    yield _of_rows("D004", message, "Map it to one of these or remove it.", unknown)


def _images(listing: Listing) -> Iterator[Finding | None]:
    ids = listing.table["image_id"]
    lost = listing.table[ids.notna() & ~ids.isin(list(listing.images))]
    yield _of_rows("D005", "row without an image file", "Add the files, or remove the rows.", lost)
    left_out = sorted(image_id for names in listing.left_out.values() for image_id in names)
    if extra := sorted(set(listing.images) - set(ids.dropna()) - set(left_out)):
        message = f"{counted(len(extra), 'image file')} without a row in {listing.table_file.name}"
        yield Finding("D006", "error", message, "Add the rows, or move the files away.", ids=tuple(extra))
    if listing.left_out:
        counts = ", ".join(f"{len(names)} of {why}" for why, names in sorted(listing.left_out.items()))
        yield Finding(
            "D008",
            "warning",
            "rows left out because their diagnosis has no counterpart among the seven, or because their "
            f"image is not dermatoscopic: {counts}",
            "Nothing has to be done, but mention it where you publish a score on the rest.",
            ids=tuple(left_out),
        )


def _odd_values(table: pd.DataFrame) -> Iterator[Finding | None]:
    if "age" in table:
        text = table["age"].astype("string").str.strip()
        written = text.notna() & ~text.str.lower().isin(["", "unknown", "nan"]).fillna(value=True)
        years = pd.to_numeric(text, errors="coerce")
        wrong = table[written & ~years.between(0, OLDEST_YEARS).fillna(value=False)]
        values = ", ".join(map(repr, sorted(map(str, wrong["age"].unique()))[:_SHOWN]))
        message = f"age {values} is not a number from 0 to {OLDEST_YEARS}"
        yield _of_rows("D009", message, "Correct it, or leave it empty.", wrong, "warning")
    several = table[table.groupby("lesion_id")["dx"].transform("nunique") > 1]
    lesions = ", ".join(sorted(several["lesion_id"].unique())[:_SHOWN])
    remedy = "Find out which one is true. Until then, one of them counts as an error."
    yield _of_rows("D010", f"one lesion with two diagnoses: {lesions}", remedy, several, "warning")


def _of_rows(
    code: str, message: str, remedy: str, rows: pd.DataFrame, severity: Severity = "error"
) -> Finding | None:
    if rows.empty:
        return None
    ids = tuple(rows["image_id"].dropna().astype(str))
    places = tuple(rows[PLACE]) if PLACE in rows else tuple(int(row) for row in rows.index)
    return Finding(code, severity, message, remedy, rows=places, ids=ids)
