"""From run folders to a bundle: the work of `lesionwise bundle export`.

Here: gathering weights, view, calibration and provenance. Not here: the graph (`graph`), the scores
(`claims`) and checking the result (`check`).
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from lesionwise.bundle.description import (
    Accepted,
    Description,
    ImageInput,
    PartScores,
    Precision,
    Provenance,
    verify_texts,
)
from lesionwise.bundle.engine import Engine
from lesionwise.bundle.load import Bundle, assemble, verify_writable, write_bundle
from lesionwise.data.collection import collection_of, stamped_name
from lesionwise.data.metadata import encoding_of
from lesionwise.data.preprocess import recipe_steps
from lesionwise.errors import RunError
from lesionwise.evaluation.calibration.record import Calibration
from lesionwise.evaluation.rejection import Rejection, fit_members, has_numbers
from lesionwise.evaluation.runs.calibrate import calibrate_run
from lesionwise.evaluation.runs.ensemble import made_of
from lesionwise.evaluation.runs.predictions import run_calibration
from lesionwise.execution import Execution
from lesionwise.export.check import data_folder, verify_as_predicted
from lesionwise.export.claims import claimed_scores, claimed_stability, digests_of_made_with, digests_of_test
from lesionwise.export.graph import (
    BundleGraph,
    Member,
    RejectionScore,
    Resample,
    Whole,
    to_onnx,
    verify_parity,
)
from lesionwise.export.precision import verify_countable, with_formats
from lesionwise.files import file_sha256, read_json
from lesionwise.labels import LEAKY_STAMP
from lesionwise.progress import Stages
from lesionwise.recipe import Recipe, load_recipe
from lesionwise.run_folder import RunFolder, trained_with
from lesionwise.split.split_file import Split, read_split
from lesionwise.training.fit import load_best_network
from lesionwise.training.loop.hardware import choose_device
from lesionwise.training.rejection import write_numbers
from lesionwise.training.run import prepare_again
from lesionwise.training.step.augment import evaluation_view

_STAGES: Final = 7  # of the progress
_PROBES: Final = 16  # white lines that are drawn at a time


def export_run(
    run: RunFolder,
    out: Path,
    *,
    name: str | None = None,
    precision: Precision = "fp32",
    licence: str = "",
    card: str = "",
    execution: Execution = Execution(),
) -> Bundle:
    """Write a run, or an ensemble with all its members, as one bundle.

    If the run has no calibration or has not learnt which pictures are not lesion images, this is done first,
    and its files stay in the run. Learning needs the data folder; without it, the bundle rejects no picture.
    `test` is not read. The file is written after all checks.

    Args:
        run: A trained run, or the folder of `lesionwise ensemble`.
        precision: Default number format; all but fp32 need the data. If the data folder exists, the effect of
            bf16 and int8 on `cal` is measured and stated in any case.

    Raises:
        RunError: If a run lacks something, or runs do not fit each other.
        BundleError: If the bundle would not answer like the run, or int8 has no use for it.
    """
    runs, stages = made_of(run), Stages(execution.progress, _STAGES)
    recipes = [load_recipe(member.config) for member in runs]
    _verify_exportable(runs, recipes)
    verify_countable(runs[0], precision)
    split = read_split(run.split)
    collection = collection_of(split.frame["image_id"])
    name = stamped_name(name or _name(recipes), collection)
    verify_texts(name=name, licence=licence, card=card)
    verify_writable(out)
    stages.begin("calibrating")
    calibration = run_calibration(run) or calibrate_run(run)
    stages.begin("learning which images are no lesion images")
    rejection = _rejection(runs, execution)
    stages.begin("reading the weights")
    graph = _graph(run, runs, recipes, calibration, rejection)
    scores = claimed_scores(run, calibration)
    encoding = encoding_of(recipes[0].metadata) if recipes[0].metadata else None
    stages.begin("writing the graph")
    exported = to_onnx(graph, recipes[0].image_size, metadata=encoding.length if encoding else 0)
    accepted = {} if rejection is None else rejection.accepted
    description = Description(
        name=name,
        input=ImageInput(
            height=recipes[0].image_size[0],
            width=recipes[0].image_size[1],
            steps=recipe_steps(recipes[0]),
            zoom=min(recipe.eval_zoom for recipe in recipes),
        ),
        metadata=encoding,
        outputs=exported.outputs,
        second_look=recipes[0].second_look,
        logits_are="last layer" if runs == [run] else "log of probability",
        calibration=calibration,
        ood_cutoff=None if rejection is None else rejection.cutoff,
        ood_accepted={code: Accepted(images=kept.images, part=kept.part) for code, kept in accepted.items()},
        provenance=_provenance(runs, recipes, split, scores),
        collection=collection,
        scores=scores,
        stability=claimed_stability(run, split),
        stamp=LEAKY_STAMP if split.leaky else None,
        licence=licence,
        card=card,
        created=datetime.now(UTC).date(),
        package_version=version("lesionwise"),
    )
    stages.begin("comparing the graph with the network")
    bundle = assemble(exported.content, description, out)
    engine = Engine(bundle)
    verify_parity(graph, engine)
    stages.begin("comparing its answers with those of the run")
    verify_as_predicted(engine, run, runs)
    stages.begin("measuring what fewer bits change")
    bundle = with_formats(engine, exported.content, run, runs[0], precision)
    write_bundle(bundle)
    return bundle


def _rejection(runs: Sequence[RunFolder], execution: Execution) -> Rejection | None:
    """Return what tells which pictures are not lesion images; None if that cannot be learnt any more."""
    for member in runs:
        if not has_numbers(member):
            if not data_folder(member).is_dir():
                return None
            recipe, data, _ = prepare_again(member, execution)
            write_numbers(member, recipe, data, device=choose_device("auto"))
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
    score = None if rejection is None else RejectionScore(rejection)
    return BundleGraph(members, calibration.scaling, score).eval()


def view(recipe: Recipe) -> nn.Module:
    """Return the evaluation view of a recipe in the form of a bundle.

    The matrices are measured with `evaluation_view` itself, with a white line at each row and column. So the
    bundle cuts and resizes in exactly the same way.
    """
    height, width = recipe.image_size
    rows = _probe(recipe, [(place, slice(None)) for place in range(height)])[:, :, 0]
    columns = _probe(recipe, [(slice(None), place) for place in range(width)])[:, 0, :]
    same = recipe.view_size == recipe.image_size
    if same and rows.equal(torch.eye(height)) and columns.equal(torch.eye(width)):
        return Whole()
    return Resample(rows.T.contiguous(), columns.T.contiguous())


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
                f"{run.path}: was made with defect_own_statistics, which standardises a whole part. A single "
                "image has no such statistics, so the run cannot be exported."
            )
        if not run.predictions("cal").is_file():
            raise RunError(f"{run.path}: has no {run.predictions('cal').name}. Finish its training first.")
        if recipe.second_look and len(runs) > 1:
            raise RunError(
                f"{run.path}: looks twice at near ties, which a bundle of several members cannot do. "
                'Make the ensemble of runs that look once: "lesionwise evaluate RUN --set second_look=0".'
            )
    for run, recipe in zip(runs, recipes, strict=True):
        if _reads(recipe) != _reads(recipes[0]):
            raise RunError(
                f"{run.path}: reads images differently from {runs[0].path} (image_size, preprocessing or "
                "metadata), but a bundle reads each image once. Export them as two. If only image_size "
                'differs, "lesionwise evaluate RUN --set image_size=…" makes a run that reads like the other.'
            )
        if read_split(run.split).fingerprint != read_split(runs[0].split).fingerprint:
            raise RunError(
                f"{run.path}: was trained on another split than {runs[0].path}. Train both on the same split."
            )


def _reads(recipe: Recipe) -> tuple[Any, ...]:
    """Return what determines the input of a model for an image."""
    return recipe.image_size, recipe_steps(recipe), recipe.metadata


def _provenance(
    runs: Sequence[RunFolder], recipes: Sequence[Recipe], split: Split, scores: dict[str, PartScores]
) -> Provenance:
    facts = [read_json(run.data) for run in runs]
    return Provenance(
        data_fingerprint=facts[0]["fingerprint"],
        split_fingerprint=split.fingerprint,
        images=facts[0]["images"],
        lesions=facts[0]["lesions"],
        recipes=tuple(map(_published, runs, recipes)),
        seeds=tuple(fact["seed"] for fact in facts),
        checkpoints=tuple(file_sha256(run.best) for run in runs),
        packages=read_json(runs[0].environment)["packages"],
        test_images=digests_of_test(scores, split),
        seen=digests_of_made_with(split, runs),
    )


def _published(run: RunFolder, recipe: Recipe) -> dict[str, Any]:
    """Return a recipe for readers, with the settings of the training if they differ."""
    looks = trained_with(run)
    return {**recipe.published(), **({"trained_with": looks} if looks else {})}


def _name(recipes: Sequence[Recipe]) -> str:
    models = sorted({recipe.model for recipe in recipes})
    return models[0] if len(recipes) == 1 else f"ensemble of {len(recipes)} ({', '.join(models)})"
