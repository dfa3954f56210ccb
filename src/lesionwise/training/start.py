"""Continuing from an earlier training: the images that made its weights.

A network that starts from a run or a bundle has already been trained on images. Their digests are passed on,
from run to run and into the bundle, and a test part that contains one of them is refused.

Not here: loading the weights (`start_weights`), and weights of other people (`lesionwise.models.weights`).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lesionwise.bundle.description import image_digest
from lesionwise.bundle.load import SHIPPED, Bundle, read_bundle
from lesionwise.bundle.seen import digests_of_seen
from lesionwise.bundle.seen import made_with as made_with_of
from lesionwise.data.dataset import ORIGINALS
from lesionwise.data.known_lesions import REFERENCE_SPLIT
from lesionwise.errors import BundleError, LeakError, RecipeError
from lesionwise.files import file_sha256, read_json, write_json
from lesionwise.names import image_id_of
from lesionwise.run_folder import RunFolder, open_run_folder
from lesionwise.split.split_file import Split, read_split
from lesionwise.tables import read_table
from lesionwise.wording import counted


@dataclass(frozen=True)
class Origin:
    """The images that made the weights from which a training starts.

    Attributes:
        path: Run folder or bundle.
        split: How to pass the split that keeps test and cal unseen.
        made_with: Digests of all images and lesions that made it, in earlier trainings as well.
        trained_on: The same without cal, which a run with the same split may use again.
    """

    path: Path
    split: str
    made_with: frozenset[str]
    trained_on: frozenset[str]


def earlier_run(weights: str) -> RunFolder | None:
    """Return the run whose weights a recipe names; None if it names no folder."""
    return open_run_folder(Path(weights), "run") if Path(weights).is_dir() else None


def earlier_bundle(weights: str) -> Bundle | None:
    """Return the bundle whose weights a recipe names; None if it names none, or none that still exists.

    Raises:
        RecipeError: If it cannot be read.
    """
    path = Path(weights)
    is_bundle = path.is_file() and path.suffix == ".onnx"
    if not is_bundle and (path.exists() or weights not in SHIPPED):
        return None
    try:
        return read_bundle(weights)
    except BundleError as error:
        raise RecipeError(f"weights: {error}") from error


def verify_unseen(
    weights: str, table: pd.DataFrame, part: NDArray[np.str_], group: NDArray[np.str_], split: Split
) -> None:
    """Refuse a test or cal part with images or lesions that made the weights.

    Args:
        weights: As in the recipe.
        table: Table of the data, with `image_id` and `lesion_id`; of a merge also with `ORIGINALS`.

    Raises:
        LeakError: If there are any; the message names an image.
    """
    origin = _origin(weights, split)
    if origin is None:
        return
    for held, known in (("test", origin.made_with), ("cal", origin.trained_on)):
        rows = np.flatnonzero(part == held)
        seen = [row for row in rows if not known.isdisjoint(_digests(table.iloc[row], str(group[row])))]
        if not seen:
            continue
        first = table.iloc[seen[0]]
        raise LeakError(
            f"{len(seen):,} of {counted(len(rows), f'{held} image')}, such as {first['image_id']} of lesion "
            f"{first['lesion_id']}, or other photographs of their lesions, made the weights from which this "
            f"training starts ({origin.path}). Pass {origin.split}, so that test and cal stay unseen, or "
            "other data. If your images only have the same ids by chance, add a prefix to their image and "
            "lesion ids."
        )


def note_start(run: RunFolder, weights: str) -> None:
    """Note which images made the weights from which a run starts."""
    origin = _origin(weights, read_split(run.split))
    if origin is not None:
        carried = {"made_with": sorted(origin.made_with), "trained_on": sorted(origin.trained_on)}
        # A run has no hash, and the name of a bundle may later belong to another file.
        sha256 = file_sha256(origin.path) if origin.path.is_file() else None
        write_json(run.start, {"run": origin.path.name, "sha256": sha256, **carried})


def made_with(run: RunFolder) -> list[str]:
    """Return the digests of all images and lesions that made a run, those of its own start included."""
    return sorted(_carried(run, "made_with", "train", "val", "cal"))


def _origin(weights: str, split: Split) -> Origin | None:
    run, bundle = earlier_run(weights), earlier_bundle(weights)
    if run is not None:
        everything = _carried(run, "made_with", "train", "val", "cal")
        trained_on = _carried(run, "trained_on", "train", "val")
        return Origin(run.path, f'"--split {run.split}"', everything, trained_on)
    return None if bundle is None else _origin_of_bundle(bundle, split)


def _origin_of_bundle(bundle: Bundle, split: Split) -> Origin:
    """Return the images behind a bundle, which does not state which of them are its cal."""
    provenance, everything = bundle.description.provenance, made_with_of(bundle.description)
    if everything is None or provenance is None:
        raise LeakError(
            f"{bundle.path}: does not state which images made it, so it may have seen the test images. Start "
            "from the run folder that it was exported from."
        )
    theirs = provenance.split_fingerprint
    trained_on = everything - _digests_of(split, "cal") if theirs == split.fingerprint else everything
    file = (
        "benchmarks/reference_split.csv of lesionwise" if theirs == REFERENCE_SPLIT else "its own split.csv"
    )
    return Origin(bundle.path, f'"--split" with {file}', everything, trained_on)


def _carried(run: RunFolder, key: str, *parts: str) -> frozenset[str]:
    before = read_json(run.start).get(key, []) if run.start.is_file() else []
    split = read_split(run.split)
    names: set[str] = set()
    if run.originals.is_file():  # the names of images and lesions before a merge
        table = read_table(run.originals).frame()
        rows = table[table["image_id"].isin(split.image_ids(*parts))]
        names = {name for column in ORIGINALS for cell in rows[column] for name in cell.split(";")}
    return _digests_of(split, *parts).union(before, map(image_digest, names))


def _digests_of(split: Split, *parts: str) -> frozenset[str]:
    rows = split.frame[split.frame["part"].isin(parts)]
    return frozenset(digests_of_seen(rows["image_id"].tolist(), rows["group"].unique().tolist()))


def _digests(row: "pd.Series[Any]", group: str) -> set[str]:
    before = [name for column in ORIGINALS if column in row for name in str(row[column]).split(";")]
    names = (row["image_id"], image_id_of(row["image_id"]), row["lesion_id"], group, *before)
    return {image_digest(name) for name in names if isinstance(name, str)}
