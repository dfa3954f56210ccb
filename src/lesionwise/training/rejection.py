"""The stage after training that learns which pictures are no lesion images.

Here: what the network and `models.appearance` make of `train` and `cal`, kept as arrays, and fitting on them.
Not here: the scores (`evaluation.ood`). No picture of anything else is looked at, and `test` is not read.
Letters: N images, K numbers of an image, H W pixels.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from lesionwise.errors import RunError
from lesionwise.evaluation.ood import Rejection, fit_rejection, write_rejection
from lesionwise.models.appearance import Appearance
from lesionwise.models.network import Network
from lesionwise.recipe import Recipe
from lesionwise.run_folder import RunFolder, atomic_path
from lesionwise.training.augment import evaluation_view, to_unit_range
from lesionwise.training.features import known_embedding
from lesionwise.training.fit import load_best_network
from lesionwise.training.hardware import keep_memory
from lesionwise.training.prepare import TrainingData

PARTS: Final = ("train", "cal")
_BATCH: Final = 64


class Numbers(NamedTuple):
    """What is known of some images, row by row in the order of their ids.

    Attributes:
        embedding: Of the network, shape (N, K).
        appearance: Of the pictures, shape (N, K), another K.
    """

    embedding: NDArray[np.float32]
    appearance: NDArray[np.float32]


def fit_run_rejection(run: RunFolder, recipe: Recipe, data: TrainingData, *, device: str) -> Rejection:
    """Write embeddings and appearance of train and cal, and what a run rejects by them.

    Args:
        run: A trained run.
        recipe: Of the run.
        data: Of the run.
        device: "cpu", "cuda" or "mps".
    """
    network = load_best_network(run, recipe)
    rows = {part: data.rows(part) for part in PARTS}
    known = {part: known_embedding(network, recipe, data, rows[part]) for part in PARTS}
    for part in PARTS:
        numbers = measure(network, recipe, data.pixels, rows[part], known=known[part], device=device)
        for path, array in zip((run.embeddings(part), run.appearance(part)), numbers, strict=True):
            with atomic_path(path) as temporary, temporary.open("wb") as file:
                np.save(file, array, allow_pickle=False)
    rejection = fit_members([run])
    write_rejection(rejection, run.rejection)
    return rejection


def measure(
    network: Network,
    recipe: Recipe,
    pixels: NDArray[np.uint8],
    rows: NDArray[np.int64],
    *,
    known: NDArray[np.float32] | None = None,
    device: str = "cpu",
) -> Numbers:
    """Return embedding and appearance of some images.

    Args:
        network: From RGB in [0, 1] to outputs.
        recipe: Says which part of an image the network looks at; the appearance is that of the whole.
        pixels: All images, shape (N, H, W, 3), uint8; may be memory-mapped.
        rows: Those to measure.
        known: Their embedding, where it need not be computed again.
        device: "cpu", "cuda" or "mps".
    """
    keep_memory()
    network, appearance = network.to(device).eval(), Appearance().to(device)
    embeddings, looks = [] if known is None else [torch.from_numpy(known)], []
    with torch.inference_mode():
        for batch in np.array_split(rows, max(1, -(-len(rows) // _BATCH))):
            images = torch.from_numpy(pixels[batch]).to(device)
            if known is None:
                embeddings.append(network.outputs(evaluation_view(images, recipe)).embedding.float().cpu())
            looks.append(appearance(to_unit_range(images)).cpu())
    return Numbers(torch.cat(embeddings).numpy(), torch.cat(looks).numpy())


def has_numbers(run: RunFolder) -> bool:
    """Return whether a run holds what `fit_members` reads."""
    return all(path.is_file() for part in PARTS for path in (run.embeddings(part), run.appearance(part)))


def fit_members(runs: Sequence[RunFolder]) -> Rejection:
    """Return what a run rejects, or an ensemble: its embedding is those of the members side by side.

    Args:
        runs: Of one split, each with what `fit_run_rejection` wrote.

    Raises:
        RunError: If their arrays cannot be read or do not fit each other.
    """
    try:
        embedding, cal_embedding = (
            np.concatenate([np.load(run.embeddings(part), allow_pickle=False) for run in runs], axis=1)
            for part in PARTS
        )
        appearance, cal_appearance = (np.load(runs[0].appearance(part), allow_pickle=False) for part in PARTS)
    except (OSError, ValueError) as error:
        raise RunError(
            f"{runs[0].path}: embeddings of train and cal cannot be read: {error}. Delete them; the export "
            "makes them anew."
        ) from error
    return fit_rejection(embedding, appearance, cal_embedding=cal_embedding, cal_appearance=cal_appearance)
