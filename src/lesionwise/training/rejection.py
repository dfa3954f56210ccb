"""The stage after training that keeps what tells lesion images from other pictures.

Here: what the network and `models.appearance` make of `train` and `cal`, as arrays. Not here: learning from
them (`evaluation.run_rejection`). No picture of anything else is looked at, and `test` is not read.
Letters: N images, K numbers of an image, H W pixels.
"""

from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from lesionwise.evaluation.runs.rejection import PARTS
from lesionwise.files import atomic_path
from lesionwise.models.appearance import Appearance
from lesionwise.models.network import Network
from lesionwise.recipe import Recipe
from lesionwise.run_folder import RunFolder
from lesionwise.training.features import known_embedding
from lesionwise.training.fit import load_best_network
from lesionwise.training.loop.hardware import keep_memory
from lesionwise.training.prepare import TrainingData
from lesionwise.training.step.augment import evaluation_view

_BATCH: Final = 64


class Numbers(NamedTuple):
    """What is known of some images, row by row in the order of their ids.

    Attributes:
        embedding: Of the network, shape (N, K).
        appearance: Of the pictures, shape (N, K), another K.
    """

    embedding: NDArray[np.float32]
    appearance: NDArray[np.float32]


def write_numbers(run: RunFolder, recipe: Recipe, data: TrainingData, *, device: str) -> None:
    """Write embeddings and appearance of train and cal.

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
            looks.append(appearance(images).cpu())
    return Numbers(torch.cat(embeddings).numpy(), torch.cat(looks).numpy())
