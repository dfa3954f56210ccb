"""From run folders to a bundle: what `lesionwise export` does.

Here: gathering weights, view, calibration, scores and provenance. Not here: the graph (`bundle.export`).
Letters: N images, H W pixels of the image, h w pixels of the view.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
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
from lesionwise.bundle.export import BundleGraph, Member, View, to_onnx, verify_parity
from lesionwise.bundle.load import Bundle, write_bundle
from lesionwise.data.preprocess import recipe_steps
from lesionwise.errors import RunError
from lesionwise.evaluation.calibrate import calibrate_run
from lesionwise.evaluation.calibration import Calibration
from lesionwise.evaluation.ensemble import ensemble_members
from lesionwise.evaluation.ood import Rejection
from lesionwise.evaluation.run_predictions import read_run_predictions, run_calibration
from lesionwise.evaluation.run_scores import evaluate_predictions
from lesionwise.models.rejection import RejectionScore
from lesionwise.recipe import Recipe, load_recipe
from lesionwise.run_folder import RunFolder, file_sha256, read_json
from lesionwise.split.split_file import read_split
from lesionwise.training.augment import evaluation_view
from lesionwise.training.fit import load_best_network
from lesionwise.training.hardware import choose_device
from lesionwise.training.rejection import fit_members, fit_run_rejection, has_numbers
from lesionwise.training.run import prepare_again

_PROBES: Final = 16  # white lines drawn at a time
_CHECK_BATCH: Final = 32
_OF_THE_LIKELIEST: Final = (
    *("balanced_accuracy", "accuracy", "macro_precision", "macro_recall", "macro_f1"),
    *("weighted_precision", "weighted_recall", "weighted_f1", "precision", "recall", "specificity", "f1"),
)
"""Scores that look at the likeliest diagnosis alone, which no temperature changes."""


def export_run(
    run: RunFolder,
    out: Path,
    *,
    name: str | None = None,
    precision: Precision = "fp32",
    licence: str = "",
    card: str = "",
    cache_root: Path | None = None,
) -> Bundle:
    """Write a run, or an ensemble with all its members, as one bundle.

    Without `calibration.json` it is calibrated first. Where nothing was learnt yet of which pictures are no
    lesion images, that is made up for if the data folder is still there; if not, the bundle rejects none.
    `test` is not read.

    Args:
        run: A trained run, or the folder that `lesionwise ensemble` made of several.
        out: Where the file goes.
        name: Of the model; from the recipe if left out.
        precision: What it will be run in; for bf16 the changes on `cal` are counted, which needs the data.
        licence: Of the weights, in words.
        card: What a reader must know, in Markdown.
        cache_root: Folder of all image caches.

    Raises:
        RunError: If a run lacks something, or runs do not fit each other.
        BundleError: If the bundle would not answer as the run does.
    """
    runs = ensemble_members(run) or [run]
    recipes = [load_recipe(member.config) for member in runs]
    _verify_exportable(runs, recipes)
    calibration = run_calibration(run) or calibrate_run(run)
    rejection = _rejection(runs, cache_root)
    graph = _graph(run, runs, recipes, calibration, rejection)
    size = recipes[0].image_size
    exported = to_onnx(graph, size)
    description = Description(
        name=name or _name(recipes),
        input=ImageInput(
            height=size[0],
            width=size[1],
            steps=recipe_steps(recipes[0]),
            zoom=min(recipe.eval_zoom for recipe in recipes),
        ),
        outputs=exported.outputs,
        logits_are="last layer" if runs == [run] else "log of probability",
        calibration=calibration,
        ood_cutoff=None if rejection is None else rejection.cutoff,
        provenance=_provenance(runs, recipes),
        scores=_scores(run, calibration),
        stamp=LEAKY_STAMP if read_split(run.split).leaky else None,
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


def _rejection(runs: Sequence[RunFolder], cache_root: Path | None) -> Rejection | None:
    """Return which pictures are no lesion images, None if that cannot be learnt any more."""
    for member in runs:
        if not has_numbers(member):
            if not Path(read_json(member.data)["folder"]).is_dir():
                return None
            recipe, data, _ = prepare_again(member, cache_root)
            fit_run_rejection(member, recipe, data, device=choose_device("auto"))
    return fit_members(runs)


def _graph(
    run: RunFolder,
    runs: Sequence[RunFolder],
    recipes: Sequence[Recipe],
    calibration: Calibration,
    rejection: Rejection | None,
) -> BundleGraph:
    own = [None if member == run else run_calibration(member) for member in runs]
    members = [
        Member(load_best_network(member, recipe), view(recipe), found.scaling if found else None)
        for member, recipe, found in zip(runs, recipes, own, strict=True)
    ]
    ood = None if rejection is None else RejectionScore(rejection)
    return BundleGraph(members, calibration.scaling, ood).eval()


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
    for run, recipe in zip(runs, recipes, strict=True):
        if (recipe.image_size, recipe_steps(recipe)) != (recipes[0].image_size, recipe_steps(recipes[0])):
            raise RunError(
                f"{run.path}: reads images otherwise than {runs[0].path} (image_size or preprocessing); a "
                "bundle reads each image once. Export them as two."
            )
        if read_split(run.split).fingerprint != read_split(runs[0].split).fingerprint:
            raise RunError(
                f"{run.path}: was trained on another split than {runs[0].path}. Train both on the same."
            )


def _scores(run: RunFolder, calibration: Calibration) -> dict[str, PartScores]:
    """Return the scores on `val` of what the bundle answers, and those on `test` that the run has.

    Scores of `test` that were worked out before the run was calibrated are kept as far as a temperature
    leaves them as they are: `test` is not read for an export.
    """
    said = evaluate_predictions(read_run_predictions(run, "val"), str(run.predictions("val")))
    found = {"val": _part_scores(said.to_json())}
    record = read_json(run.scores) if run.scores.is_file() else {"parts": {}}
    if "test" not in record["parts"]:
        return found
    if "test" in record.get("calibration", {}):
        found["test"] = _part_scores(record["parts"]["test"])
    elif calibration.scaling.method == "temperature":
        found["test"] = _part_scores(record["parts"]["test"], only=_OF_THE_LIKELIEST)
    return found


def _part_scores(scores: dict[str, Any], *, only: Sequence[str] | None = None) -> PartScores:
    def kept(values: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in values.items() if only is None or name in only}

    return PartScores.model_validate(
        {
            "images": scores["images"],
            "lesions": scores["lesions"],
            "overall": kept(scores["overall"]),
            "per_class": {code: kept(values) for code, values in scores["per_class"].items()},
        }
    )


def _provenance(runs: Sequence[RunFolder], recipes: Sequence[Recipe]) -> Provenance:
    facts = [read_json(run.data) for run in runs]
    split = read_split(runs[0].split)
    return Provenance(
        data_fingerprint=facts[0]["fingerprint"],
        split_fingerprint=split.fingerprint,
        images=facts[0]["images"],
        lesions=facts[0]["lesions"],
        recipes=tuple(recipe.model_dump(mode="json", exclude_none=True) for recipe in recipes),
        seeds=tuple(fact["seed"] for fact in facts),
        checkpoints=tuple(file_sha256(run.checkpoints / "best.ckpt") for run in runs),
        packages=read_json(runs[0].environment)["packages"],
        test_ids=tuple(split.frame.loc[split.frame["part"] == "test", "image_id"]),
    )


def _name(recipes: Sequence[Recipe]) -> str:
    models = sorted({recipe.model for recipe in recipes})
    return models[0] if len(recipes) == 1 else f"ensemble of {len(recipes)} ({', '.join(models)})"
