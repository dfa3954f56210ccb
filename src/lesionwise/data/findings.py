"""Coded findings: what is wrong with a data folder, where, and what to do about it.

Not here: reading a folder (`layouts`) and judging pixels.
"""

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
    severity: Literal["error", "warning"]
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
        return {
            **{name: getattr(self, name) for name in ("code", "severity", "message", "remedy", "anchor")},
            **{name: values for name, values in lists.items() if values},
        }

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
    checks = (
        _empty_ids,
        _duplicate_ids,
        _unknown_diagnoses,
        _rows_without_image,
        _images_without_row,
        _left_out,
        _impossible_ages,
        _contradictory_lesions,
    )
    return [finding for check in checks if (finding := check(listing)) is not None]


def raise_findings(findings: list[Finding], source: str) -> None:
    """Raise if any finding is an error, naming all of them."""
    if any(finding.severity == "error" for finding in findings):
        lines = [f"{source}: the data cannot be used as it is.", *map(str, findings)]
        raise FindingsError("\n".join(lines), findings)


def _missing_columns(listing: Listing, missing: list[str]) -> Finding:
    return Finding(
        "D001",
        "error",
        f"expected the columns {', '.join(REQUIRED_COLUMNS)} but {', '.join(missing)} "
        f"is missing; found {', '.join(str(name) for name in listing.table.columns if name != PLACE)}",
        listing.advice.get(missing[0], f"Rename or add the column in {listing.table_file.name}."),
    )


def _empty_ids(listing: Listing) -> Finding | None:
    table = listing.table
    empty = table[list(REQUIRED_COLUMNS)].isna().any(axis=1)
    advice = listing.advice.get("lesion_id", "") if table["lesion_id"].isna().any() else ""
    remedy = f"Fill in or remove the row. {advice}".rstrip()
    return _finding("D002", "image id, lesion id or diagnosis is empty", remedy, table[empty])


def _duplicate_ids(listing: Listing) -> Finding | None:
    table = listing.table
    again = table["image_id"].duplicated(keep=False) & table["image_id"].notna()
    return _finding("D003", "the same image_id in several rows", "Keep one row for each image.", table[again])


def _unknown_diagnoses(listing: Listing) -> Finding | None:
    table = listing.table
    unknown = table[table["dx"].notna() & ~table["dx"].isin(CODES)]
    names = ", ".join(sorted(map(repr, unknown["dx"].unique())))
    return _finding(
        "D004",
        f"diagnosis {names} is none of {', '.join(CODES)}",
        "Map it to one of these or remove it.",
        unknown,
    )


def _rows_without_image(listing: Listing) -> Finding | None:
    table = listing.table
    lost = table[table["image_id"].notna() & ~table["image_id"].isin(list(listing.images))]
    return _finding("D005", "row without an image file", "Add the files, or remove the rows.", lost)


def _images_without_row(listing: Listing) -> Finding | None:
    left_out = {image_id for ids in listing.left_out.values() for image_id in ids}
    extra = sorted(set(listing.images) - set(listing.table["image_id"].dropna()) - left_out)
    if not extra:
        return None
    return Finding(
        "D006",
        "error",
        f"{counted(len(extra), 'image file')} without a row in {listing.table_file.name}",
        "Add the rows, or move the files away.",
        ids=tuple(extra),
    )


def _left_out(listing: Listing) -> Finding | None:
    if not listing.left_out:
        return None
    counts = ", ".join(f"{len(ids)} of {name}" for name, ids in sorted(listing.left_out.items()))
    return Finding(
        "D008",
        "warning",
        "rows left out because their diagnosis has no counterpart among the seven, or because their image "
        f"is not dermatoscopic: {counts}",
        "Nothing must be done, but mention it where you publish a score on the rest.",
        ids=tuple(sorted(image_id for ids in listing.left_out.values() for image_id in ids)),
    )


def _impossible_ages(listing: Listing) -> Finding | None:
    table = listing.table
    if "age" not in table:
        return None
    text = table["age"].astype("string").str.strip()
    written = text.notna() & ~text.str.lower().isin(["", "unknown", "nan"]).fillna(value=True)
    years = pd.to_numeric(text, errors="coerce")
    wrong = table[written & ~years.between(0, OLDEST_YEARS).fillna(value=False)]
    values = ", ".join(map(repr, sorted(map(str, wrong["age"].unique()))[:_SHOWN]))
    return _finding(
        "D009",
        f"age {values} is not a number from 0 to {OLDEST_YEARS}",
        "Correct it, or leave it empty.",
        wrong,
        "warning",
    )


def _contradictory_lesions(listing: Listing) -> Finding | None:
    table = listing.table
    several = table.groupby("lesion_id")["dx"].transform("nunique") > 1
    lesions = ", ".join(sorted(table.loc[several, "lesion_id"].unique())[:_SHOWN])
    return _finding(
        "D010",
        f"one lesion with two diagnoses: {lesions}",
        "Find out which one is true. Until then, one of them counts as an error.",
        table[several],
        "warning",
    )


def _finding(
    code: str, message: str, remedy: str, rows: pd.DataFrame, severity: Literal["error", "warning"] = "error"
) -> Finding | None:
    if rows.empty:
        return None
    ids = tuple(rows["image_id"].dropna().astype(str))
    places = tuple(rows[PLACE]) if PLACE in rows else tuple(int(row) for row in rows.index)
    return Finding(code, severity, message, remedy, rows=places, ids=ids)
