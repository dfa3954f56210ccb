"""From a data folder to what training reads: pixels, table and a verified split, row by row."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lesionwise.data.cache import ImageCache, open_cache
from lesionwise.data.dataset import Dataset, read_dataset
from lesionwise.data.identical import COMPARE_SIZE, identical_images
from lesionwise.data.metadata import encoding_of
from lesionwise.data.preprocess import recipe_steps
from lesionwise.errors import SplitError
from lesionwise.execution import Execution
from lesionwise.labels import CODES
from lesionwise.recipe import MetadataName, Recipe
from lesionwise.split.assign import By, make_split
from lesionwise.split.groups import Pair, kept_together, lesion_groups
from lesionwise.split.split_file import Split, read_split
from lesionwise.split.verify import verify_split
from lesionwise.training.defects import make_copies, names_copies, resample_before_split
from lesionwise.training.start import verify_unseen


@dataclass(frozen=True)
class TableData:
    """A data set with a split that was verified against its table: what is known before an image is read.

    Attributes:
        group: Lesion group of each image, shape (N,): what intervals resample, also under a leaky split. A
            split by lesion may have joined more than the table does; that counts as well.
        part: Part of each image, shape (N,); empty for an image that the split leaves out.
    """

    dataset: Dataset
    split: Split
    group: NDArray[np.str_]
    part: NDArray[np.str_]

    @property
    def image_id(self) -> NDArray[np.str_]:
        """Id of each image, shape (N,)."""
        return self.dataset.table["image_id"].to_numpy(str)

    @property
    def y(self) -> NDArray[np.int64]:
        """Class index of each image, shape (N,)."""
        return self.dataset.y

    def rows(self, part: str) -> NDArray[np.int64]:
        """Return the row numbers of a part.

        Raises:
            SplitError: If the part has no image.
        """
        rows = np.flatnonzero(self.part == part)
        if len(rows) == 0:
            raise SplitError(f"The split has no image in {part}.")
        return rows


@dataclass(frozen=True)
class TrainingData(TableData):
    """The same with its pixels, against which the split was verified too.

    Attributes:
        cache: The pixels, in the order of the table.
    """

    cache: ImageCache

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """RGB values, shape (N, H, W, 3), uint8, memory-mapped."""
        return self.cache.pixels

    def metadata(self, names: Sequence[MetadataName]) -> NDArray[np.float32] | None:
        """Return what is known of each image besides its pixels, encoded, shape (N, M).

        Args:
            names: Names of the recipe; with none of them there is nothing to return.
        """
        if not names:
            return None
        columns: dict[str, list[Any]] = {name: self.dataset.table[name].tolist() for name in names}
        return encoding_of(names).encode_table(columns, len(self.y))

    def content(self, names: Sequence[MetadataName]) -> dict[str, str | None]:
        """Return what tells this data from other: fingerprints of images with their table, and of metadata.

        Args:
            names: Names of the recipe; with none of them there are no metadata.
        """
        metadata = self.metadata(names)
        return {
            "fingerprint": self.cache.fingerprint,
            "metadata": None if metadata is None else sha256(metadata.tobytes()).hexdigest(),
        }

    def is_other_than(self, kept: Mapping[str, Any], names: Sequence[MetadataName]) -> bool:
        """Return whether this is not the data that a record tells of; what it does not tell is not compared.

        Args:
            kept: The record, with what `content` said.
        """
        return any(kept.get(name, now) != now for name, now in self.content(names).items())


def prepare(
    folder: Path,
    recipe: Recipe | None = None,
    *,
    split: Path | By = "lesion",
    seed: int = 0,
    merge: Iterable[Pair] = (),
    verify: Callable[[TableData], object] | None = None,
    execution: Execution = Execution(),
) -> TrainingData:
    """Read, check, clean, cache, group and split a data folder.

    Args:
        recipe: Its image size, its preprocessing and its `train_on_val` are used, and its
            `defect_resample_before_split` where a split is made; left out, images are as small as comparing
            them allows.
        split: A split to use, or what stays together in one that is made. A split that names copies has them
            made as well.
        merge: Pairs of images that a person confirmed to show one lesion, for a split that is made.
        verify: Called with what the table alone tells, before images are read, which may take minutes; it
            raises where the work to come would fail. Not called where copies of images are made.
    """
    dataset = read_dataset(folder)
    execution.progress.on_data(dataset.about)
    size, steps = (recipe.image_size, recipe_steps(recipe)) if recipe else (COMPARE_SIZE, ())
    given = read_split(split) if isinstance(split, Path) else None
    by: By = "lesion" if isinstance(split, Path) else split
    merge = list(merge)
    copied = given is not None and names_copies(given.frame["image_id"].tolist(), dataset)
    if not (copied or (recipe and recipe.defect_resample_before_split)):
        early = given or make_split(dataset, by=by, seed=seed, pairs=merge)
        known = _verified(dataset, early, merge, recipe, source=split if isinstance(split, Path) else None)
        if verify:
            verify(known)
    cache = open_cache(dataset, size, steps=steps, execution=execution)
    if given and copied:
        dataset, cache = make_copies(dataset, cache, given.frame["image_id"].tolist())
    elif recipe and recipe.defect_resample_before_split:
        per_class = recipe.defect_resample_before_split
        dataset, cache = resample_before_split(dataset, cache, per_class=per_class, seed=seed)
        by = "image"
    pairs = [*identical_images(dataset, cache.pixels), *merge]
    used = given or make_split(dataset, by=by, seed=seed, pairs=pairs)
    known = _verified(dataset, used, pairs, recipe, source=split if isinstance(split, Path) else None)
    return TrainingData(dataset, used, known.group, known.part, cache)


def _verified(
    dataset: Dataset, split: Split, pairs: Sequence[Pair], recipe: Recipe | None, *, source: Path | None
) -> TableData:
    """Return what is known of a split that fits its data. `source`: its file; None if it was just made."""
    verify_split(split, dataset, pairs=pairs, source=str(source or "the new split"))
    part = _parts(split, dataset, recipe)
    verify_diagnoses(dataset.y, part, source=str(source or dataset.folder))
    joined = [] if split.leaky else kept_together(split.frame)
    group = lesion_groups(dataset.table, [*pairs, *joined])
    if recipe:
        verify_unseen(recipe.weights, dataset.table, part, group, split)
    return TableData(dataset, split, group, part)


def _parts(split: Split, dataset: Dataset, recipe: Recipe | None) -> NDArray[np.str_]:
    """Return the part of each image as training takes it; empty for one that the split leaves out."""
    parts = split.frame.set_index("image_id")["part"]
    part = parts.reindex(dataset.table["image_id"], fill_value="").to_numpy(str)
    return np.where(part == "val", "train", part) if recipe and recipe.train_on_val else part


def verify_diagnoses(y: NDArray[np.int64], part: NDArray[np.str_], *, source: str) -> None:
    """Make sure that each part, or each fold, has images of every diagnosis.

    Args:
        part: Part of each image, shape (N,); empty for one that is left out.
    """
    for name in np.unique(part[part != ""]):
        counts = np.bincount(y[part == name], minlength=len(CODES))
        absent = [code for code, count in zip(CODES, counts, strict=True) if not count]
        if absent:
            raise SplitError(
                f"{source}: has no image of {', '.join(absent)} in {name}. A network of seven "
                "diagnoses needs images of each in every part, to learn and to be scored."
            )
