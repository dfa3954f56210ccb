"""Predicting a part of a run again and again, each time with its photographs changed in one way.

Here: from files to changed photographs to probabilities. Not here: the changes
(`lesionwise.data.perturbations`) and the differences (`lesionwise.evaluation.robustness`).

A change is made to the photograph as it was taken, in 8 bits and at up to `FRAME_PX`, before anything that a
recipe does with it: so the model meets it as it would in use. The unchanged photographs go the same way;
their scores can differ a little from those of the report, where a JPEG is decoded at a smaller scale. A model
that takes metadata gets them unchanged.
"""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lesionwise.arrays import Floats, Integers, Pixels
from lesionwise.data.images import fit_image, image_sides, read_image
from lesionwise.data.perturbations import PERTURBATIONS, STRENGTHS, perturb
from lesionwise.data.preprocess import recipe_steps
from lesionwise.errors import RunError
from lesionwise.evaluation.robustness import Robustness, measure_robustness
from lesionwise.evaluation.runs.ensemble import ensemble_members, mean_logits
from lesionwise.evaluation.runs.predictions import run_probabilities
from lesionwise.evaluation.runs.scores import verify_looked_at
from lesionwise.execution import Execution, usable_cores
from lesionwise.run_folder import RunFolder
from lesionwise.training.fit import load_best_network, predict_logits
from lesionwise.training.loop.hardware import choose_device
from lesionwise.training.run import prepare_again

FRAME_PX: Final = (450, 600)  # as HAM10000 holds them; larger photographs are reduced to cover it
_JOBS: Final = [(name, strength) for name in PERTURBATIONS for strength in STRENGTHS]


def perturbed_part(run: RunFolder, part: str, *, execution: Execution = Execution()) -> Robustness:
    """Return what each change at each strength costs a run on a part; `test` only once it was evaluated."""
    verify_changeable(run)
    verify_looked_at(run, part)
    model = _model(run, part, replace(execution, device=choose_device(execution.device)))
    plain, *changed = map(model.answer, _changed_images(model, execution))
    named = [(name, strength, prob) for (name, strength), prob in zip(_JOBS, changed, strict=True)]
    return measure_robustness(model.truth, plain, named, model.groups)


def verify_changeable(run: RunFolder) -> None:
    """Make sure that a run answers for changed photographs: it is one network, or an ensemble."""
    for member in ensemble_members(run):
        verify_changeable(member)
    if run.kind == "cross-validation":
        raise RunError(
            f"{run.path}: is a cross-validation, and robustness is measured for one network on all images of "
            "a part. Pass one of its folds, fold-1 and so on."
        )


class _Look(NamedTuple):
    """How a recipe reads a photograph: sides in pixels, and steps of preprocessing."""

    size: tuple[int, int]
    steps: tuple[str, ...]


class _Model(NamedTuple):
    """What answers for the images of a part, of which there are N.

    Attributes:
        fingerprint: Fingerprint of the data that they are from.
        looks: Each way in which a network of it reads them.
        answer: Function from the images (N, H, W, 3), by look, to probabilities (N, C).
    """

    fingerprint: str
    ids: NDArray[np.str_]
    paths: list[Path]
    truth: Integers
    groups: NDArray[Any]
    looks: frozenset[_Look]
    answer: Callable[[Mapping[_Look, Pixels]], Floats]


def _model(run: RunFolder, part: str, execution: Execution) -> _Model:
    members = [_model(member, part, execution) for member in ensemble_members(run)]
    if not members:
        return _network(run, part, execution)
    first = members[0]
    if any(
        other.fingerprint != first.fingerprint or not np.array_equal(other.ids, first.ids)
        for other in members
    ):
        raise RunError(f"{run.path}: its members no longer have the same images in {part}.")

    def answer(images: Mapping[_Look, Pixels]) -> Floats:
        return run_probabilities(run, mean_logits([member.answer(images) for member in members]))

    looks = frozenset[_Look]().union(*(member.looks for member in members))
    return first._replace(looks=looks, answer=answer)


def _network(run: RunFolder, part: str, execution: Execution) -> _Model:
    recipe, data, _ = prepare_again(run, execution)
    network, rows = load_best_network(run, recipe), data.rows(part)
    look = _Look(recipe.image_size, recipe_steps(recipe))
    every, known = np.arange(len(rows)), data.metadata(recipe.metadata)
    metadata = None if known is None else known[rows]

    def answer(images: Mapping[_Look, Pixels]) -> Floats:
        logits = predict_logits(
            network, recipe, images[look], every, metadata=metadata, device=execution.device
        )
        return run_probabilities(run, logits)

    paths = [data.dataset.paths[row] for row in rows]
    return _Model(
        data.cache.fingerprint,
        data.image_id[rows],
        paths,
        data.y[rows],
        data.group[rows],
        frozenset({look}),
        answer,
    )


def _changed_images(model: _Model, execution: Execution) -> Iterator[dict[_Look, Pixels]]:
    """Yield the images (N, H, W, 3) as each network reads them: unchanged, then after each change."""
    looks = sorted(model.looks)
    with ThreadPoolExecutor(execution.workers or usable_cores()) as pool:
        photographs = list(pool.map(_read, model.paths))
        for number, job in enumerate((None, *_JOBS)):

            def read(photograph: Pixels, image_id: str, job: tuple[str, int] | None = job) -> list[Pixels]:
                changed = perturb(photograph, *job, image_id=image_id, seed=0) if job else photograph
                return [fit_image(changed, look.size, steps=look.steps) for look in looks]

            found = zip(*pool.map(read, photographs, model.ids.tolist()), strict=True)
            yield {look: np.stack(images) for look, images in zip(looks, found, strict=True)}
            if job:
                execution.progress.on_work(
                    "changing photographs", number * len(photographs), len(_JOBS) * len(photographs)
                )


def _read(path: Path) -> Pixels:
    """Return a photograph whole, reduced where it is larger than the frame."""
    width, height = image_sides(path)
    scale = min(1.0, max(FRAME_PX[0] / height, FRAME_PX[1] / width))
    return read_image(path, (round(height * scale), round(width * scale)))
