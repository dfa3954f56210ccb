"""From a data folder to the input of training: pixels, table and a verified split, row by row."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lesionwise.arrays import Float32s, Integers, Pixels
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
from lesionwise.split.split_file import Split, read_split, verify_split
from lesionwise.training.defects import draw_copies, make_copies, names_copies
from lesionwise.training.start import verify_unseen


@dataclass(frozen=True)
class TableData:
    """A data set with a split that was verified against its table, before any image is read.

    Attributes:
        group: Lesion group of each image, shape (N,): the unit of resampling, also under a leaky split. It
            includes what a split by lesion joined beyond the table.
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
    def y(self) -> Integers:
        """Class index of each image, shape (N,)."""
        return self.dataset.y

    def rows(self, part: str) -> Integers:
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
    """The same with its pixels, against which the split was verified as well."""

    cache: ImageCache

    @property
    def pixels(self) -> Pixels:
        """RGB values, shape (N, H, W, 3), uint8, memory-mapped."""
        return self.cache.pixels

    def metadata(
        self, names: Sequence[MetadataName], rows: Integers | slice = slice(None)
    ) -> Float32s | None:
        """Return the encoded metadata of some images or all, shape (N, M); None if there are no names."""
        if not names:
            return None
        columns: dict[str, list[Any]] = {name: self.dataset.table[name].tolist() for name in names}
        return encoding_of(names).encode_table(columns, len(self.y))[rows]

    def content(self, names: Sequence[MetadataName]) -> dict[str, str | None]:
        """Return the fingerprints of the data: of the images with their table, and of the metadata."""
        metadata = self.metadata(names)
        return {
            "fingerprint": self.cache.fingerprint,
            "metadata": None if metadata is None else sha256(metadata.tobytes()).hexdigest(),
        }

    def is_other_than(self, kept: Mapping[str, Any], names: Sequence[MetadataName]) -> bool:
        """Return whether the data differ from a record of `content`; missing entries are not compared."""
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
        recipe: Gives image size, preprocessing, `train_on_val` and, for a new split,
            `defect_resample_before_split`. Left out, images have the least size for comparing them.
        split: A split to use, or what a new one keeps together. If it names copies, these are made.
        merge: Pairs of images that a person confirmed to show one lesion, for a new split.
        verify: Called before images are read, which may take minutes, with the data known from the table. It
            raises if later work would fail. Not called if copies of images are made.
    """
    dataset = read_dataset(folder)
    execution.progress.on_data(dataset.about)
    size, steps = (recipe.image_size, recipe_steps(recipe)) if recipe else (COMPARE_SIZE, ())
    source = split if isinstance(split, Path) else None
    by: By = "lesion" if isinstance(split, Path) else split
    given = read_split(source) if source else None
    merge = list(merge)
    names = given.frame["image_id"].tolist() if given else []
    copied = names_copies(names, dataset)
    per_class = recipe.defect_resample_before_split if recipe and not copied else 0
    if not (copied or per_class):
        early = given or make_split(dataset, by=by, seed=seed, pairs=merge)
        known = _verified(dataset, early, merge, recipe, source=source)
        if verify:
            verify(known)
    cache = open_cache(dataset, size, steps=steps, execution=execution)
    if per_class:
        names, by = draw_copies(dataset, per_class=per_class, seed=seed), "image"
    if copied or per_class:
        dataset, cache = make_copies(dataset, cache, names)
    pairs = [*identical_images(dataset, cache.pixels), *merge]
    used = given or make_split(dataset, by=by, seed=seed, pairs=pairs)
    known = _verified(dataset, used, pairs, recipe, source=source)
    return TrainingData(dataset, used, known.group, known.part, cache)


def _verified(
    dataset: Dataset, split: Split, pairs: Sequence[Pair], recipe: Recipe | None, *, source: Path | None
) -> TableData:
    """Return what is known of a split that fits its data. `source`: its file; None for a new split."""
    verify_split(split, dataset, pairs=pairs, source=str(source or "the new split"))
    part = _parts(split, dataset, recipe)
    verify_diagnoses(dataset.y, part, source=str(source or dataset.folder))
    joined = [] if split.leaky else kept_together(split.frame)
    group = lesion_groups(dataset.table, [*pairs, *joined])
    if recipe:
        verify_unseen(recipe.weights, dataset.table, part, group, split)
    return TableData(dataset, split, group, part)


def _parts(split: Split, dataset: Dataset, recipe: Recipe | None) -> NDArray[np.str_]:
    """Return the part of each image in training; empty for one that the split leaves out."""
    parts = split.frame.set_index("image_id")["part"]
    part = parts.reindex(dataset.table["image_id"], fill_value="").to_numpy(str)
    return np.where(part == "val", "train", part) if recipe and recipe.train_on_val else part


def verify_diagnoses(y: Integers, part: NDArray[np.str_], *, source: str) -> None:
    """Make sure that each part, or each fold, has images of every diagnosis.

    Args:
        part: Part of each image, shape (N,); empty for an image that is left out.
    """
    for name in np.unique(part[part != ""]):
        counts = np.bincount(y[part == name], minlength=len(CODES))
        absent = [code for code, count in zip(CODES, counts, strict=True) if not count]
        if absent:
            raise SplitError(
                f"{source}: has no image of {', '.join(absent)} in {name}. A network of seven "
                "diagnoses needs images of each diagnosis in every part, for learning and for scoring."
            )
