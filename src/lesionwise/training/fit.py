"""One training: from a run folder with a split to its best weights and predictions.

Not here: the step (`module`), the loop around it (`trainer`) and reading data (`prepare`).
"""

from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lesionwise.arrays import Float32s, Floats
from lesionwise.bundle.runtimes import Arrays, Inputs
from lesionwise.bundle.second_look import look_twice
from lesionwise.data.metadata import encoding_of
from lesionwise.errors import RecipeError
from lesionwise.evaluation.predictions import Predictions, write_predictions
from lesionwise.evaluation.runs.predictions import run_probabilities
from lesionwise.execution import Execution
from lesionwise.labels import CODES
from lesionwise.models.network import MetadataTerm, Network
from lesionwise.models.registry import TimmOptions, create_model
from lesionwise.models.weights import FRESH
from lesionwise.progress import SILENT, Progress
from lesionwise.recipe import Recipe
from lesionwise.run_folder import RunFolder
from lesionwise.training.features import are_constant, known_logits, network_features
from lesionwise.training.loop.checkpoints import newest_whole, read_checkpoint
from lesionwise.training.loop.hardware import Precision, choose_precision, keep_memory, resident_pixels
from lesionwise.training.loop.history import History, StepClock
from lesionwise.training.loop.processes import Processes, quiet_lightning
from lesionwise.training.loop.tracking import make_logger
from lesionwise.training.loop.trainer import has_stopped, honest_exit, make_trainer
from lesionwise.training.prepare import TrainingData
from lesionwise.training.start import earlier_bundle, earlier_run
from lesionwise.training.start_weights import load_bundle, load_run, settle
from lesionwise.training.step.augment import evaluation_view
from lesionwise.training.step.datamodule import ImageDataModule, ImageRows, channel_statistics
from lesionwise.training.step.module import LastLayerModule, LesionModule

_PREDICT_BATCH = 64


def fit(
    recipe: Recipe,
    data: TrainingData,
    run: RunFolder,
    *,
    seed: int = 0,
    resume: bool = False,
    processes: Processes | None = None,
    execution: Execution,
) -> StepClock:
    """Train a recipe, and write checkpoints, history and the predictions of val and cal.

    Args:
        processes: The processes that train together, of which the first writes; only this one if left out.
    """
    keep_memory()
    torch.manual_seed(seed)
    device, processes = execution.device, processes or Processes()
    train_rows = data.rows("train")
    last = processes.first(lambda: newest_whole(run) if resume else None)
    network = read_network(last, recipe) if last else fresh_network(recipe, weights=recipe.weights)
    if recipe.weights == FRESH and not recipe.mean:
        network.set_statistics(*processes.first(lambda: channel_statistics(data.pixels, train_rows)))
    if not last and not are_constant(recipe) and earlier_bundle(recipe.weights):
        settle(network, recipe, data, seed=seed, device=device)
    counts = torch.bincount(torch.from_numpy(data.y[train_rows]), minlength=len(CODES))
    clock = StepClock()
    seen = _seen(network, recipe, data, processes, execution, clock=clock)
    batches = ImageDataModule(
        ImageRows(seen, data.y, train_rows),
        None if recipe.train_on_val else ImageRows(seen, data.y, data.rows("val")),
        recipe,
        seed=seed,
        rank=processes.rank,
        processes=processes.count,
    )
    watchers = [History(run.history, execution.progress), clock] if processes.is_first else [clock]
    with quiet_lightning(), honest_exit():
        logger = make_logger(recipe, run, seed=seed) if processes.is_first else None
        precision = processes.first(lambda: _precision(network, recipe, device, last))
        trainer = make_trainer(recipe, run, device, precision, watchers, logger=logger, processes=processes)
        clock.precision = "bf16" if precision == "bf16-mixed" else "fp32"
        network = network.to(memory_format=torch.channels_last)
        metadata = data.metadata(recipe.metadata)
        kind = LastLayerModule if are_constant(recipe) else LesionModule
        module = kind(network, recipe, counts, seed=seed, metadata=metadata)
        if not (last and has_stopped(last)):
            trainer.fit(module, batches, ckpt_path=last, weights_only=True)
    if processes.is_first:
        run.before_last.unlink(missing_ok=True)
        parts = ("cal",) if recipe.train_on_val else ("val", "cal")
        progress = execution.progress
        write_part_predictions(run, recipe, data, parts, device=device, progress=progress)
    return clock


def _precision(network: Network, recipe: Recipe, device: str, last: Path | None) -> Precision:
    """Return the precision of a training; on the same device, a resumed one keeps that of its checkpoint."""
    if recipe.precision != "auto":
        return "bf16-mixed" if recipe.precision == "bf16" else "32-true"
    kept: dict[str, Precision] = read_checkpoint(last).get("precision", {}) if last else {}
    part = recipe.batch_size // recipe.accumulate
    network_in_training = None if are_constant(recipe) else network
    return kept.get(device) or choose_precision(device, network_in_training, (part, *recipe.crop_size))


def _seen(
    network: Network,
    recipe: Recipe,
    data: TrainingData,
    processes: Processes,
    execution: Execution,
    *,
    clock: StepClock,
) -> NDArray[np.uint8] | NDArray[np.float32] | Tensor:
    """Return the input of a step for each image: its pixels, or its embedding if that never changes."""
    if not are_constant(recipe):
        return resident_pixels(data.pixels, execution.device)
    started = perf_counter()
    look = partial(network_features, network, recipe, data, execution)
    processes.first(lambda: len(look()))
    network.train()
    clock.seconds["features"] = perf_counter() - started
    return look()


def write_part_predictions(
    run: RunFolder,
    recipe: Recipe,
    data: TrainingData,
    parts: tuple[str, ...],
    *,
    device: str,
    progress: Progress = SILENT,
) -> None:
    """Predict parts of the split with the best weights of a run, in fp32, and write the CSV files."""
    network = load_best_network(run, recipe)
    for part in parts:
        rows = data.rows(part)
        if recipe.defect_own_statistics:
            network.set_statistics(*channel_statistics(data.pixels, rows))
        logits = known_logits(network, recipe, data, rows)
        if logits is None:
            metadata = data.metadata(recipe.metadata)
            logits = predict_logits(
                network, recipe, data.pixels, rows, metadata=metadata, device=device, progress=progress
            )
        predictions = Predictions(
            image_id=data.image_id[rows],
            y_prob=run_probabilities(run, logits),
            y_true=data.y[rows],
            group=data.group[rows],
            logits=logits,
        )
        write_predictions(predictions, run.predictions(part))


def load_best_network(run: RunFolder, recipe: Recipe) -> Network:
    """Return the network with the weights of the best epoch."""
    network = read_network(run.best, recipe)
    network.views = recipe.tta
    return network


def read_network(checkpoint: Path, recipe: Recipe) -> Network:
    """Return a recipe's network with the weights of a checkpoint, for one view."""
    network = fresh_network(recipe)
    network.load_state_dict(_network_state(checkpoint))
    return network


def _network_state(checkpoint: Path) -> dict[str, Any]:
    state, prefix = read_checkpoint(checkpoint)["state_dict"], "network."
    return {key.removeprefix(prefix): state[key] for key in state if key.startswith(prefix)}


def predict_logits(
    network: Network,
    recipe: Recipe,
    pixels: NDArray[np.uint8],
    rows: NDArray[np.int64],
    *,
    metadata: NDArray[np.float32] | None = None,
    device: str,
    progress: Progress = SILENT,
) -> Floats:
    """Return the raw outputs of a network for some rows, shape (len(rows), C), in fp32."""
    keep_memory()
    network = network.to(device).eval()

    def look(inputs: Inputs) -> Arrays:
        known = torch.from_numpy(inputs["metadata"]).to(device) if "metadata" in inputs else None
        seen = evaluation_view(torch.from_numpy(inputs["image"]).to(device), recipe)
        return {"logits": network(seen, known).cpu().numpy()}

    run = look_twice(look, recipe.second_look)
    outputs: list[Float32s] = []
    with torch.inference_mode():
        for batch in np.array_split(rows, max(1, -(-len(rows) // _PREDICT_BATCH))):
            inputs: Inputs = {"image": pixels[batch]}
            outputs.append(
                run(inputs if metadata is None else {**inputs, "metadata": metadata[batch]})["logits"]
            )
            progress.on_work("predicting images", sum(map(len, outputs)), len(rows))
    return np.concatenate(outputs).astype(float)


def fresh_network(recipe: Recipe, *, weights: str = FRESH) -> Network:
    """Return the initial network of a recipe, after a trial on the sizes that it will meet.

    Args:
        weights: As in the recipe: "none", "published", a safetensors file, the folder of another run, or a
            bundle.
    """
    statistics = (recipe.mean, recipe.std) if recipe.mean and recipe.std else None
    earlier, bundle = earlier_run(weights), earlier_bundle(weights)
    try:
        network = create_model(
            recipe.model,
            num_classes=len(CODES),
            image_size=recipe.crop_size,
            drop_rate=recipe.drop_rate,
            weights=FRESH if earlier or bundle else weights,
            statistics=statistics,
            options=TimmOptions(recipe.model_args, recipe.layers, recipe.directions),
        )
        if statistics:
            network.set_statistics(*(torch.tensor(values) for values in statistics))
        if recipe.metadata:
            numbers, hidden = encoding_of(recipe.metadata).length, recipe.metadata_hidden
            network.metadata = MetadataTerm(numbers, len(CODES), hidden=0 if recipe.probe else hidden)
        with torch.inference_mode():
            for size in (recipe.crop_size, recipe.view_size):
                network.eval()(torch.zeros(1, 3, *size))
    except (RuntimeError, AssertionError, ValueError, IndexError, TypeError) as error:  # timm raises any
        raise RecipeError(
            f"{recipe.model} cannot take images of {recipe.crop_size} in training and {recipe.view_size} in "
            "evaluation. Change image_size, train_size or eval_size."
        ) from error
    if earlier:
        load_run(network, earlier, recipe, _network_state(earlier.best))
    elif bundle:
        load_bundle(network, bundle, recipe)
    return network.train()
