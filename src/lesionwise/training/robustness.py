"""Predicting a part of a run again and again, each time with its photographs changed in one way.

Here: from files to changed photographs to probabilities. Not here: the changes
(`lesionwise.data.perturbations`) and the differences (`lesionwise.evaluation.robustness`).

A change is made to the photograph as it was taken, in 8 bits and at up to `FRAME_PX`, before anything that a
recipe does with it: so the model meets it as it would in use. The unchanged photographs go the same way;
their scores can differ a little from those of the report, where a JPEG is decoded at a smaller scale. A model
that is told more than an image is told it as ever.
Letters: N images, C classes, H W pixels.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lesionwise.data.images import fit_image, image_sides, read_image
from lesionwise.data.perturbations import PERTURBATIONS, STRENGTHS, perturb
from lesionwise.data.preprocess import recipe_steps
from lesionwise.data.workspace import usable_cores
from lesionwise.errors import RunError
from lesionwise.evaluation.calibration import Floats
from lesionwise.evaluation.ensemble import ensemble_members, mean_logits
from lesionwise.evaluation.robustness import Robustness, measure_robustness
from lesionwise.evaluation.run_predictions import run_probabilities
from lesionwise.progress import OnWork
from lesionwise.recipe import Recipe
from lesionwise.run_folder import RunFolder
from lesionwise.training.fit import load_best_network, predict_logits
from lesionwise.training.prepare import TrainingData
from lesionwise.training.run import prepare_again

FRAME_PX: Final = (450, 600)  # as HAM10000 holds them; larger photographs are reduced to cover it
_JOBS: Final = [(name, strength) for name in PERTURBATIONS for strength in STRENGTHS]
Pixels = NDArray[np.uint8]


def perturbed_part(
    run: RunFolder,
    part: str,
    *,
    device: str,
    seed: int = 0,
    cache_root: str | Path | None = None,
    on_step: OnWork | None = None,
) -> Robustness:
    """Return what each change at each strength costs a run on a part.

    Args:
        run: A trained run, or an ensemble.
        part: Whose images; those of `test` only after `evaluate --final` looked at them.
        device: "cpu", "cuda" or "mps".
        seed: Of the changes.
        cache_root: Folder of all image caches.
        on_step: Called with the change, how many are done and the number of all.

    Raises:
        RunError: If the test part was not looked at, the data is not what the run was trained with, or the
            members of an ensemble have other images.
    """
    if part == "test" and not run.predictions("test").is_file():
        raise RunError(f"{run.path}: its test part was not looked at yet. Add --final, which notes the look.")
    found = _answers(run, part, device=device, seed=seed, cache_root=cache_root, on_step=on_step)
    plain, *changed = found.prob
    named = [(name, strength, prob) for (name, strength), prob in zip(_JOBS, changed, strict=True)]
    return measure_robustness(found.truth, plain, named, found.groups)


class _Answers(NamedTuple):
    """Ids, class indices and lesions of the images, and the probabilities (N, C): unchanged, then by job."""

    ids: NDArray[np.str_]
    truth: NDArray[np.int64]
    groups: NDArray[Any]
    prob: list[Floats]


def _answers(
    run: RunFolder,
    part: str,
    *,
    device: str,
    seed: int,
    cache_root: str | Path | None,
    on_step: OnWork | None,
) -> _Answers:
    members = ensemble_members(run)
    if members:
        each = partial(_answers, part=part, device=device, seed=seed, cache_root=cache_root, on_step=on_step)
        first, *others = map(each, members)
        if any(not np.array_equal(first.ids, other.ids) for other in others):
            raise RunError(f"{run.path}: its members have not the same images in {part} any more.")
        together = zip(first.prob, *(other.prob for other in others), strict=True)
        return first._replace(prob=[run_probabilities(run, mean_logits(probs)) for probs in together])
    recipe, data, _ = prepare_again(run, cache_root)
    network, rows = load_best_network(run, recipe), data.rows(part)
    every, known = np.arange(len(rows)), data.metadata(recipe.metadata)
    told = None if known is None else known[rows]
    prob = [
        run_probabilities(run, predict_logits(network, recipe, pixels, every, metadata=told, device=device))
        for pixels in _changed_views(data, rows, recipe, seed=seed, on_step=on_step)
    ]
    return _Answers(data.image_id[rows], data.y[rows], data.group[rows], prob)


def _changed_views(
    data: TrainingData,
    rows: NDArray[np.int64],
    recipe: Recipe,
    *,
    seed: int,
    on_step: OnWork | None,
) -> Iterator[Pixels]:
    """Yield the images (N, H, W, 3) as the recipe reads them, unchanged first, then after each change."""
    paths, ids = data.dataset.paths, data.image_id
    steps, size = recipe_steps(recipe), recipe.image_size
    with ThreadPoolExecutor(usable_cores()) as pool:
        photographs = list(pool.map(_read, (paths[row] for row in rows)))
        yield np.stack(list(pool.map(partial(fit_image, size=size, steps=steps), photographs)))
        for number, (name, strength) in enumerate(_JOBS):
            change = partial(_changed, size=size, steps=steps, name=name, strength=strength, seed=seed)
            yield np.stack(list(pool.map(change, photographs, ids[rows].tolist())))
            if on_step:
                on_step("changing photographs", number + 1, len(_JOBS))


def _changed(
    photograph: Pixels,
    image_id: str,
    *,
    size: tuple[int, int],
    steps: tuple[str, ...],
    name: str,
    strength: int,
    seed: int,
) -> Pixels:
    changed = perturb(photograph, name, strength, image_id=image_id, seed=seed)
    return fit_image(changed, size, steps=steps)


def _read(path: Path) -> Pixels:
    """Return a photograph whole, reduced where it is larger than the frame."""
    width, height = image_sides(path)
    scale = min(1.0, max(FRAME_PX[0] / height, FRAME_PX[1] / width))
    return read_image(path, (round(height * scale), round(width * scale)))
