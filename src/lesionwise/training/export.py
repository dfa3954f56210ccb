"""From run folders to a bundle: what `lesionwise export` does.

Here: gathering weights, view, calibration, scores and provenance. Not here: the graph (`bundle.export`).
Letters: N images, H W pixels of the image, h w pixels of the view.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import reduce
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from lesionwise.bundle.description import (
    LEAKY_STAMP,
    Description,
    ImageInput,
    PartScores,
    Precision,
    PrecisionCheck,
    Provenance,
)
from lesionwise.bundle.engine import Engine
from lesionwise.bundle.export import BundleGraph, Member, View, to_onnx, verify_parity, write_bundle
from lesionwise.bundle.load import Bundle
from lesionwise.data.preprocess import recipe_steps
from lesionwise.errors import RunError
from lesionwise.evaluation.calibrate import calibrate, calibrate_run
from lesionwise.evaluation.calibration import Calibration
from lesionwise.evaluation.predictions import Predictions
from lesionwise.evaluation.run_predictions import read_run_predictions, run_calibration
from lesionwise.evaluation.run_scores import evaluate_predictions
from lesionwise.recipe import Recipe, load_recipe
from lesionwise.run_folder import RunFolder, file_sha256, read_json
from lesionwise.split.split_file import read_split
from lesionwise.training.augment import evaluation_view
from lesionwise.training.fit import load_best_network
from lesionwise.training.run import prepare_again

_PROBES: Final = 16  # white lines drawn at a time
_CHECK_BATCH: Final = 32


def export_runs(
    runs: Sequence[RunFolder],
    out: Path,
    *,
    name: str | None = None,
    precision: Precision = "fp32",
    licence: str = "",
    card: str = "",
    cache_root: Path | None = None,
) -> Bundle:
    """Write a run, or several of one split as an ensemble, as a bundle.

    A run without `calibration.json` is calibrated first. The calibration of an ensemble is fitted anew, on
    the mean of what its members say about `cal`; their test parts are not read.

    Args:
        runs: Trained runs.
        out: Where the file goes.
        name: Of the model; from the recipes if left out.
        precision: What it will be run in; for bf16 the changes on `cal` are counted, which needs the data.
        licence: Of the weights, in words.
        card: What a reader must know, in Markdown.
        cache_root: Folder of all image caches.

    Raises:
        RunError: If a run lacks something, or runs do not fit each other.
        BundleError: If the bundle would not answer as the runs do.
    """
    recipes = [load_recipe(run.config) for run in runs]
    _verify_exportable(runs, recipes)
    calibrations = [run_calibration(run) or calibrate_run(run) for run in runs]
    alone = len(runs) == 1
    calibration = calibrations[0] if alone else _calibrate_ensemble(runs)
    members = [
        Member(load_best_network(run, recipe), view(recipe), None if alone else own.scaling)
        for run, recipe, own in zip(runs, recipes, calibrations, strict=True)
    ]
    graph = BundleGraph(members, calibration.scaling).eval()
    size = recipes[0].image_size
    exported = to_onnx(graph, size)
    description = Description(
        name=name or _name(recipes),
        input=ImageInput(height=size[0], width=size[1], steps=recipe_steps(recipes[0])),
        outputs=exported.outputs,
        logits_are="last layer" if alone else "log of probability",
        calibration=calibration,
        provenance=_provenance(runs, recipes),
        scores=_scores(runs, calibration),
        stamp=LEAKY_STAMP if read_split(runs[0].split).leaky else None,
        licence=licence,
        card=card,
        created=datetime.now(UTC).date(),
        package_version=version("lesionwise"),
    )
    bundle = write_bundle(exported.content, description, out)
    verify_parity(graph, Engine(bundle))
    if precision == "fp32":
        return bundle
    check = check_precision(bundle, runs[0], precision, cache_root=cache_root)
    lowered = description.model_copy(update={"precision": precision, "precision_check": check})
    return write_bundle(exported.content, lowered, out)


def view(recipe: Recipe) -> nn.Module:
    """Return what evaluation looks at, in the form that a bundle can hold.

    The matrices are read off `evaluation_view` itself, with a white line at each row and column: whatever
    it cuts and however it resizes, the bundle does the same.

    Args:
        recipe: Of the run.
    """
    height, width = recipe.image_size
    rows = _probe(recipe, [(place, slice(None)) for place in range(height)])[:, :, 0]
    columns = _probe(recipe, [(slice(None), place) for place in range(width)])[:, 0, :]
    same = recipe.view_size == recipe.image_size
    if same and rows.equal(torch.eye(height)) and columns.equal(torch.eye(width)):
        return nn.Identity()
    return View(rows.T.contiguous(), columns.T.contiguous())


def check_precision(
    bundle: Bundle, run: RunFolder, precision: Precision, *, cache_root: Path | None = None
) -> PrecisionCheck:
    """Count what fewer bits change on the `cal` images of a run.

    Args:
        bundle: Of the run.
        run: Its data folder must still be there.
        precision: To compare with fp32.
        cache_root: Folder of all image caches.
    """
    _, data, _ = prepare_again(run, cache_root)
    rows = data.rows("cal")
    full, low = (
        engine.answers(
            [engine.run(data.pixels[batch]) for batch in np.array_split(rows, -(-len(rows) // _CHECK_BATCH))]
        )
        for engine in (Engine(bundle, precision="fp32"), Engine(bundle, precision=precision))
    )
    before, after = full.decisions, low.decisions
    changed = (before.decision != after.decision) | (before.top != after.top)
    if before.prediction_set is not None and after.prediction_set is not None:
        changed |= (before.prediction_set != after.prediction_set).any(axis=1)
    return PrecisionCheck(
        images=len(rows),
        changed=int(changed.sum()),
        largest_difference=float(np.abs(full.probabilities - low.probabilities).max()),
    )


def _probe(recipe: Recipe, lines: list[tuple[Any, ...]]) -> Tensor:
    """Return the views (len(lines), h, w) of black images with one white line each."""
    views = []
    for start in range(0, len(lines), _PROBES):
        images = torch.zeros(min(_PROBES, len(lines) - start), *recipe.image_size, 3, dtype=torch.uint8)
        for image, line in zip(images, lines[start:], strict=False):
            image[line] = 255
        views.append(evaluation_view(images, recipe)[:, 0])
    return torch.cat(views)


def _verify_exportable(runs: Sequence[RunFolder], recipes: Sequence[Recipe]) -> None:
    for run, recipe in zip(runs, recipes, strict=True):
        if recipe.defect_own_statistics:
            raise RunError(
                f"{run.path}: was made with defect_own_statistics, which standardises a whole part at once; "
                "a single image has no such statistics, so there is nothing to export."
            )
        if not run.predictions("cal").is_file():
            raise RunError(f"{run.path}: has no {run.predictions('cal').name}. Train it to its end first.")
    first = runs[0]
    for run, recipe in zip(runs, recipes, strict=True):
        if read_split(run.split).fingerprint != read_split(first.split).fingerprint:
            raise RunError(
                f"{run.path}: was trained on another split than {first.path}: an ensemble of both would have "
                "seen the images that it is tested on. Train both with the same --split."
            )
        if (recipe.image_size, recipe_steps(recipe)) != (recipes[0].image_size, recipe_steps(recipes[0])):
            raise RunError(
                f"{run.path}: reads images otherwise than {first.path} (image_size or preprocessing); a "
                "bundle reads each image once. Export them as two."
            )


def _ensemble_predictions(runs: Sequence[RunFolder], part: str) -> Predictions:
    """Return what the mean of some runs says about a part; the logits are those of the bundle's graph."""
    each = [read_run_predictions(run, part) for run in runs]
    first = each[0]
    if any(not np.array_equal(first.image_id, other.image_id) for other in each):
        raise RunError(f"{runs[0].path}: the members predicted other images as {part}. Train them again.")
    mean = reduce(np.add, (predictions.y_prob for predictions in each)) / len(each)
    return replace(first, y_prob=mean, logits=np.log(mean))


def _calibrate_ensemble(runs: Sequence[RunFolder]) -> Calibration:
    fingerprint = read_split(runs[0].split).fingerprint
    return calibrate(_ensemble_predictions(runs, "cal"), split_fingerprint=fingerprint)


def _scores(runs: Sequence[RunFolder], calibration: Calibration) -> dict[str, PartScores]:
    """Return the scores of the parts that were looked at; of an ensemble those of `val`."""
    if len(runs) > 1:
        said = _ensemble_predictions(runs, "val")
        calibrated = replace(said, y_prob=calibration.probabilities(np.log(said.y_prob)))
        evaluation = evaluate_predictions(calibrated, "the ensemble's val part")
        return {"val": _part_scores(evaluation.to_json())}
    parts = read_json(runs[0].scores)["parts"] if runs[0].scores.is_file() else {}
    return {part: _part_scores(scores) for part, scores in parts.items() if part in ("val", "test")}


def _part_scores(scores: dict[str, Any]) -> PartScores:
    return PartScores.model_validate(
        {key: scores[key] for key in ("images", "lesions", "overall", "per_class")}
    )


def _provenance(runs: Sequence[RunFolder], recipes: Sequence[Recipe]) -> Provenance:
    facts = [read_json(run.data) for run in runs]
    return Provenance(
        data_fingerprint=facts[0]["fingerprint"],
        split_fingerprint=read_split(runs[0].split).fingerprint,
        images=facts[0]["images"],
        lesions=facts[0]["lesions"],
        recipes=tuple(recipe.model_dump(mode="json", exclude_none=True) for recipe in recipes),
        seeds=tuple(fact["seed"] for fact in facts),
        checkpoints=tuple(file_sha256(run.checkpoints / "best.ckpt") for run in runs),
        packages=read_json(runs[0].environment)["packages"],
    )


def _name(recipes: Sequence[Recipe]) -> str:
    models = sorted({recipe.model for recipe in recipes})
    return models[0] if len(recipes) == 1 else f"ensemble of {len(recipes)} ({', '.join(models)})"
