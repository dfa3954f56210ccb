"""The split on disk, `split.csv` with `split.json` beside it, and the refusal of one that cuts a lesion."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import pandas as pd

from lesionwise.data.dataset import Dataset
from lesionwise.errors import LeakError, LesionwiseError, SplitError, reraised
from lesionwise.files import read_json, write_json, write_text
from lesionwise.labels import LEAKY_STAMP
from lesionwise.run_folder import verify_split_unchanged
from lesionwise.split.groups import Pair, lesion_groups
from lesionwise.tables import verify_once
from lesionwise.wording import counted

PARTS: Final = ("train", "val", "cal", "test")
COLUMNS: Final = ("image_id", "group", "part", "fold")
_META: Final = ("by", "seed", "folds", "of", "left_out", "held_out")


@dataclass(frozen=True)
class Split:
    """Which image is in which part and fold.

    Attributes:
        meta: How it was made: `by`, `seed`, `folds`; empty for a split from elsewhere. Of a split that was
            made from another one: `of`, the fingerprint of that; `left_out`, how many images of the data it
            leaves out; `held_out`, what its test part holds instead of the final exam, such as "fold 2".
    """

    frame: pd.DataFrame
    meta: dict[str, Any] = field(default_factory=dict)

    @property
    def leaky(self) -> bool:
        """Whether photographs of one lesion may be on both sides, on purpose."""
        return bool(self.meta.get("by") == "image")

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the sorted rows."""
        return sha256(_to_csv(self.frame).encode()).hexdigest()

    def image_ids(self, *parts: str) -> pd.Series:
        """Return the image ids of the parts."""
        return self.frame.loc[self.frame["part"].isin(parts), "image_id"]


def write_split(split: Split, path: Path) -> None:
    """Write `path` and the JSON beside it."""
    write_text(path, _to_csv(split.frame))
    counts = split.frame["part"].value_counts().reindex(list(PARTS), fill_value=0)
    facts = {
        **split.meta,
        "images": {part: int(count) for part, count in counts.items()},
        "groups": int(split.frame["group"].nunique()),
        "fingerprint": split.fingerprint,
        **({"stamp": LEAKY_STAMP} if split.leaky else {}),
    }
    write_json(path.with_suffix(".json"), facts)


def read_split(path: Path) -> Split:
    """Read a split, with or without a JSON beside it."""
    with reraised(SplitError, f"{path}: cannot be read as a split: ", OSError, ValueError):
        frame = pd.read_csv(path, dtype={"image_id": str, "group": str, "part": str}, keep_default_na=False)
    missing = [column for column in COLUMNS if column not in frame]
    if missing:
        raise SplitError(
            f"{path}: expected the columns {', '.join(COLUMNS)} but {', '.join(missing)} is missing."
        )
    unknown = sorted(set(frame["part"]) - set(PARTS))
    if unknown:
        raise SplitError(f"{path}: expected the parts {', '.join(PARTS)} but found {', '.join(unknown)}.")
    verify_once(frame["image_id"], path, error=SplitError)
    facts = path.with_suffix(".json")
    meta = read_json(facts) if facts.is_file() else {}
    if not isinstance(meta, dict):
        raise SplitError(f"{facts}: expected a JSON object but found {type(meta).__name__}.")
    split = Split(frame[list(COLUMNS)], {key: meta[key] for key in _META if key in meta})
    if "fingerprint" in meta:
        verify_split_unchanged(path, str(meta["fingerprint"]), split.fingerprint)
    return split


def verify_split(
    split: Split, dataset: Dataset, *, pairs: Iterable[Pair] = (), source: str = "split.csv"
) -> None:
    """Make sure that a split fits its table and cuts no lesion.

    The groups are worked out from the table; the `group` column of the file is not trusted. A split
    made by image says so in its JSON and is let through: everything made from it carries the stamp. A split
    that leaves images out, such as that of a fold, says in its JSON how many.
    """
    table = dataset.table
    _verify_images(split, table["image_id"], source, left_out=split.meta.get("left_out", 0))
    if split.leaky:
        return
    grouped = split.frame.merge(table[["image_id", "lesion_id"]], on="image_id")
    grouped["true_group"] = lesion_groups(grouped, pairs)
    for column in ("part", "fold"):
        _verify_together(grouped, column, source)


def _verify_images(split: Split, image_ids: pd.Series, source: str, *, left_out: int) -> None:
    ours, theirs = set(image_ids), set(split.frame["image_id"])
    for lost, where, expected in ((ours - theirs, "the split", left_out), (theirs - ours, "the data", 0)):
        if len(lost) != expected and lost:
            raise SplitError(
                f"{source}: {where} lacks {counted(len(lost), 'image')}, such as {min(lost)}. It may be the "
                'split of another data set. Run "lesionwise data split" for this one.'
            )


def _verify_together(grouped: pd.DataFrame, column: str, source: str) -> None:
    sides = grouped.groupby("true_group", sort=True)[column].unique()
    cut = sides[sides.map(len) > 1]
    if cut.empty:
        return
    lesion, where = cut.index[0], " and ".join(map(str, sorted(cut.iloc[0])))
    others = counted(len(cut) - 1, "other lesion leaks", "other lesions leak")
    more = f" {others} too." if len(cut) > 1 else ""
    place = where if column == "part" else f"folds {where}"
    raise LeakError(
        f'{source}: lesion {lesion} is in {place}.{more} Run "lesionwise data split" again, '
        "or use the split that was made by lesion."
    )


def verify_replaceable(path: Path, split: Split) -> None:
    """Make sure that a new split overwrites nothing but the same split."""
    if not path.exists():
        return
    try:
        there = read_split(path).fingerprint
    except LesionwiseError:
        there = ""
    if there != split.fingerprint:
        what = f"another split, with fingerprint {there[:12]}" if there else "something other than a split"
        raise SplitError(f"{path}: holds {what}. Pass --force to write over it, or another --out.")


def is_other_split(given: Path | None, started_with: Path) -> bool:
    """Return whether a split was given other than the one that a run started with."""
    return given is not None and read_split(given).fingerprint != read_split(started_with).fingerprint


def _to_csv(frame: pd.DataFrame) -> str:
    ordered = frame[list(COLUMNS)].sort_values("image_id")
    return str(ordered.to_csv(index=False, lineterminator="\n"))
