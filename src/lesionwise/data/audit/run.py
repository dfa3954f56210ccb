"""The audit: every check of a data folder, the faults of its table and of its pixels, none of them raised."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lesionwise.arrays import Floats, Pixels
from lesionwise.data.audit.duplicates import (
    SAME_LESION_CORRELATION,
    Candidate,
    duplicate_findings,
    near_duplicates,
)
from lesionwise.data.audit.quality import MEASURES, THUMBNAIL_STEP, measure_image, quality_findings
from lesionwise.data.audit.shortcuts import Shortcut, find_shortcuts, imbalance_findings, shortcut_findings
from lesionwise.data.cache import ImageCache, open_cache
from lesionwise.data.dataset import Dataset, dataset_of
from lesionwise.data.findings import REQUIRED_COLUMNS, Finding, check_listing
from lesionwise.data.identical import identical_rows
from lesionwise.data.layouts import Listing, read_listing
from lesionwise.errors import FindingsError
from lesionwise.execution import Execution, usable_cores
from lesionwise.labels import CODES

SIZE: Final = (225, 300)  # pixels; the kernels of the measures are meant for it

Pair = tuple[str, str]


@dataclass(frozen=True)
class Audit:
    """What was found.

    Attributes:
        dataset: The images that could be looked at.
        shortcuts: How well the table alone predicts the diagnosis.
        known_pairs: Number of pairs that are known to be one lesion (`known`), how many of them the search
            for near-duplicates found (`known_found`), and how many candidates it named.
        cache: The pixels, for the page; None if none could be read.
    """

    dataset: Dataset
    findings: tuple[Finding, ...]
    shortcuts: tuple[Shortcut, ...] = ()
    known_pairs: dict[str, int] = field(default_factory=dict)
    cache: ImageCache | None = None

    @property
    def images(self) -> int:
        """Number of images that could be looked at."""
        return len(self.dataset.table)

    @property
    def lesions(self) -> int:
        """Number of their lesions."""
        return int(self.dataset.table["lesion_id"].nunique())

    @property
    def classes(self) -> dict[str, int]:
        """Number of images of each diagnosis."""
        counts = self.dataset.table["dx"].value_counts()
        return {code: int(counts.get(code, 0)) for code in CODES}

    def fails(self, level: str) -> bool:
        """Whether there is an error, or for the level `warning` any finding; never for `never`."""
        severities = {finding.severity for finding in self.findings}
        return bool(severities) if level == "warning" else level == "error" and "error" in severities

    def to_json(self) -> dict[str, Any]:
        """Return plain dictionaries and lists, with every id."""
        return {
            "folder": str(self.dataset.folder),
            "layout": self.dataset.layout,
            "images": self.images,
            "lesions": self.lesions,
            "classes": self.classes,
            "findings": [finding.to_json() for finding in self.findings],
            "shortcuts": [shortcut.to_json() for shortcut in self.shortcuts],
            "near_duplicates": {"least_correlation": SAME_LESION_CORRELATION, **self.known_pairs},
            "notes": list(self.dataset.notes),
            "columns": self.dataset.columns,
        }


def audit_folder(folder: Path, *, joined: Iterable[Pair] = (), execution: Execution = Execution()) -> Audit:
    """Look for errors, oddities and shortcuts in a data folder.

    Faults of the table do not stop it: what is left without the faulty rows is looked at.

    Args:
        joined: Pairs of image ids that are known to be one lesion and are joined by every split.
    """
    listing = read_listing(folder)
    findings = check_listing(listing)
    dataset = dataset_of(_sound_rows(listing), folder)
    cache, dataset, unreadable = _open(dataset, execution)
    findings += unreadable
    table = _with_raw_columns(dataset.table, listing.table)
    findings += imbalance_findings(table["dx"])
    measures: dict[str, Floats] = {}
    known: dict[str, int] = {}
    if cache is not None:
        measures, grey = _look(cache.pixels, execution)
        ids, dx = table["image_id"].to_numpy(str), table["dx"].to_numpy(str)
        findings += quality_findings(measures, ids)
        _, lesion = np.unique(table["lesion_id"].to_numpy(str), return_inverse=True)
        workers = execution.workers or usable_cores()
        candidates = near_duplicates(grey, lesion, workers=workers) if len(table) > 1 else []
        identical = identical_rows(dataset.paths, cache.pixels)
        joined = list(joined)
        findings += duplicate_findings(identical, candidates, image_ids=ids, dx=dx, joined=joined)
        known = _known_pairs(candidates, ids, joined)
    shortcuts = find_shortcuts(table, measures)
    findings += shortcut_findings(shortcuts)
    findings.sort(key=lambda finding: finding.code)
    return Audit(dataset, tuple(findings), tuple(shortcuts), known, cache)


def _look(pixels: Pixels, execution: Execution) -> tuple[dict[str, Floats], NDArray[np.float16]]:
    """Return the measures and a grey thumbnail of each image, in the order of the rows."""
    step = THUMBNAIL_STEP
    grey = np.empty((len(pixels), pixels.shape[1] // step, pixels.shape[2] // step), dtype=np.float16)
    measures = {measure.name: np.empty(len(pixels)) for measure in MEASURES}
    with ThreadPoolExecutor(execution.workers or usable_cores()) as pool:
        for row, (found, small) in enumerate(pool.map(measure_image, map(np.asarray, pixels))):
            grey[row] = small
            for name, value in found.items():
                measures[name][row] = value
            execution.progress.on_work("looking at images", row + 1, len(pixels))
    return measures, grey


def _sound_rows(listing: Listing) -> Listing:
    """Return the listing without the rows that a fault of the table rules out."""
    table = listing.table
    if not set(REQUIRED_COLUMNS) <= set(table.columns):
        empty = pd.DataFrame({name: pd.Series(dtype=str) for name in REQUIRED_COLUMNS})
        return replace(listing, table=empty)
    sound = (
        table[list(REQUIRED_COLUMNS)].notna().all(axis=1)
        & ~table["image_id"].duplicated(keep=False)
        & table["dx"].isin(CODES)
        & table["image_id"].isin(list(listing.images))
    )
    return replace(listing, table=table[sound])


def _open(dataset: Dataset, execution: Execution) -> tuple[ImageCache | None, Dataset, list[Finding]]:
    """Open the cache of all images that can be read, and return the findings about the others."""
    findings: list[Finding] = []
    if not dataset.table.empty:
        try:
            return open_cache(dataset, SIZE, execution=execution), dataset, findings
        except FindingsError as error:
            findings = [finding for finding in error.findings if isinstance(finding, Finding)]
        broken = {image for finding in findings for image in finding.ids}
        rest = dataset.table[~dataset.table["image_id"].isin(broken)].reset_index(drop=True)
        dataset = replace(dataset, table=rest)
    cache = None if dataset.table.empty else open_cache(dataset, SIZE, execution=execution)
    return cache, dataset, findings


def _with_raw_columns(table: pd.DataFrame, raw: pd.DataFrame) -> pd.DataFrame:
    """Add the column `dataset` of Dataverse, which cleaning drops, where there is one."""
    if "dataset" not in raw or raw["image_id"].duplicated().any():
        return table
    return table.assign(dataset=table["image_id"].map(raw.set_index("image_id")["dataset"]))


def _known_pairs(candidates: list[Candidate], ids: NDArray[np.str_], joined: list[Pair]) -> dict[str, int]:
    here = set(ids.tolist())
    known = {frozenset(pair) for pair in joined if set(pair) <= here}
    found = {frozenset((str(ids[pair.first]), str(ids[pair.second]))) for pair in candidates}
    return {"known": len(known), "known_found": len(known & found), "candidates": len(candidates)}
