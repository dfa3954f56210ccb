"""Going on from another run: its weights, and the images that made them.

A network that starts from another run's weights was trained on that run's images too. Their digests are
carried along, from run to run and into the bundle, and a test part that holds one of them is refused.

Here: loading, checking and noting. Not here: weights of other people (`lesionwise.models.weights`).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lesionwise.bundle.description import image_digest
from lesionwise.bundle.seen import digests_of_seen
from lesionwise.data.dataset import ORIGINALS
from lesionwise.errors import LeakError, RecipeError
from lesionwise.files import read_json, write_json
from lesionwise.names import image_id_of
from lesionwise.recipe import Recipe, load_recipe
from lesionwise.run_folder import RunFolder, open_run_folder
from lesionwise.split.split_file import read_split
from lesionwise.wording import counted

if TYPE_CHECKING:
    from lesionwise.models.network import Network  # which needs torch; a split does not


def earlier_run(weights: str) -> RunFolder | None:
    """Return the run whose weights a recipe names, None if it names no folder."""
    return open_run_folder(Path(weights), "run") if Path(weights).is_dir() else None


def load_start(network: "Network", run: RunFolder, recipe: Recipe, state: dict[str, Any]) -> None:
    """Give a fresh network the weights of an earlier run, its head and its normalisation included.

    Args:
        network: As the recipe makes it.
    """
    earlier = load_recipe(run.config)
    same = ("model", "model_args", "layers", "directions", "metadata", "metadata_hidden")
    other = [key for key in same if getattr(earlier, key) != getattr(recipe, key)]
    if other:
        key = other[0]
        raise RecipeError(
            f"weights: {run.path} was trained with {key}={getattr(earlier, key)!r}, but this recipe has "
            f"{getattr(recipe, key)!r}. Set {key} as it was there."
        )
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise RecipeError(
            f"weights: the network of {run.path} does not fit this recipe's; it depends on the size of its "
            f"images. Set image_size, train_size and eval_size as they were there, {earlier.image_size}, "
            f"{earlier.train_size} and {earlier.eval_size}."
        ) from error


def verify_unseen(weights: str, table: pd.DataFrame, part: NDArray[np.str_], group: NDArray[np.str_]) -> None:
    """Refuse a test or cal part that holds images, or lesions, which the weights were made with.

    Args:
        weights: As the recipe has it.
        table: Table of the data, with `image_id` and `lesion_id`; of a merge also with `ORIGINALS`.
    """
    run = earlier_run(weights)
    if run is None:
        return
    for held, known in (("test", set(made_with(run))), ("cal", set(_trained_on(run)))):
        rows = np.flatnonzero(part == held)
        seen = [row for row in rows if not known.isdisjoint(_digests(table.iloc[row], str(group[row])))]
        if not seen:
            continue
        first = table.iloc[seen[0]]
        raise LeakError(
            f"{len(seen)} of {counted(len(rows), f'{held} image')}, such as {first['image_id']} of lesion "
            f"{first['lesion_id']}, or other photographs of their lesions, made the weights that this "
            f'training starts from ({run.path}). Pass "--split {run.split}", so that test and cal stay '
            "unseen, or other data."
        )


def note_start(run: RunFolder, weights: str) -> None:
    """Carry along which images made the weights that a run starts from."""
    earlier = earlier_run(weights)
    if earlier is not None:
        write_json(
            run.start,
            {"run": earlier.path.name, "made_with": made_with(earlier), "trained_on": _trained_on(earlier)},
        )


def made_with(run: RunFolder) -> list[str]:
    """Return the digests of all images and lesions that a run was made with, and those of its own start."""
    return _carried(run, "made_with", ("train", "val", "cal"))


def _trained_on(run: RunFolder) -> list[str]:
    """Return the digests without those of cal, which a run that goes on with the same split uses again."""
    return _carried(run, "trained_on", ("train", "val"))


def _carried(run: RunFolder, key: str, parts: Sequence[str]) -> list[str]:
    rows = read_split(run.split).frame
    rows = rows[rows["part"].isin(parts)]
    before = read_json(run.start).get(key, []) if run.start.is_file() else []
    return sorted({*before, *digests_of_seen(rows["image_id"].tolist(), rows["group"].unique().tolist())})


def _digests(row: "pd.Series[Any]", group: str) -> set[str]:
    before = [name for column in ORIGINALS if column in row for name in str(row[column]).split(";")]
    names = (row["image_id"], image_id_of(row["image_id"]), row["lesion_id"], group, *before)
    return {image_digest(name) for name in names if isinstance(name, str)}
