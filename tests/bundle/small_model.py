"""A small model and its description, for tests of bundles."""

from datetime import date

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from conftest import make_recipe
from lesionwise.bundle.description import Description, ImageInput
from lesionwise.evaluation.calibration.record import (
    Calibration,
    ClassQuantile,
    OperatingPoint,
    PredictionSets,
    TemperatureScaling,
)
from lesionwise.evaluation.rejection import fit_rejection
from lesionwise.export.graph import RejectionScore
from lesionwise.labels import CODES
from lesionwise.models.network import Network
from lesionwise.models.registry import create_model
from lesionwise.training.step.augment import to_unit_range

SIZE = (24, 32)
RECIPE = make_recipe(eval_zoom=1.5, eval_size=[20, 28])
CALIBRATION = Calibration(
    scaling=TemperatureScaling(temperature=0.5),
    prediction_sets=PredictionSets(
        rule="lac", coverage=0.9, classes={code: ClassQuantile(lesions=40, quantile=0.8) for code in CODES}
    ),
    operating_points=(
        OperatingPoint(
            question="melanoma", aim="sensitivity", at_least=0.9, threshold=0.2, positives=40, negatives=240
        ),
    ),
    images=280,
    lesions=280,
    fingerprint="0" * 64,
)


def rejection() -> RejectionScore:
    """What was learnt from noise beside pale noise."""
    noise = torch.tensor(np.random.default_rng(0).integers(0, 256, (150, *SIZE, 3), np.uint8))
    noise[50:100] = noise[50:100] // 8 + 200
    with torch.inference_mode():
        seen = random_network().eval().outputs(to_unit_range(noise)).embedding.numpy()
    return RejectionScore(fit_rejection(seen[:50], seen[50:100], cal=seen[100:]))


def random_network(model: str = "small", seed: int = 0) -> Network:
    """A network with random weights whose answers differ from image to image."""
    torch.manual_seed(seed)
    network = create_model(model, num_classes=7, image_size=RECIPE.view_size, drop_rate=0.3)
    for values in network.parameters():
        nn.init.normal_(values, std=0.2)
    network.set_statistics(torch.tensor([0.6, 0.5, 0.4]), torch.tensor([0.2, 0.25, 0.3]))
    return network


def describe(**changes: object) -> Description:
    """A description that fits the small graph, with some fields changed."""
    fields = {
        "name": "small",
        "input": ImageInput(height=SIZE[0], width=SIZE[1]),
        "outputs": ("probabilities", "logits", "embedding", "ood_score", "cam"),
        "calibration": CALIBRATION,
        "created": date(2026, 1, 1),
        "package_version": "0",
        **changes,
    }
    return Description.model_validate(fields)


def images(count: int, size: tuple[int, int] = SIZE) -> NDArray[np.uint8]:
    """Random pictures, smooth enough to be resized."""
    coarse = np.random.default_rng(1).integers(
        0, 256, (count, -(-size[0] // 4), -(-size[1] // 4), 3), np.uint8
    )
    return coarse.repeat(4, axis=1).repeat(4, axis=2)[:, : size[0], : size[1]]
