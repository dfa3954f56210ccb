"""Which networks of timm does the package train and export?

python benchmarks/correctness/timm_bundles.py [NAME ...]

Each is made as a recipe makes it, trained for one step, written as a bundle's graph, and compared with
PyTorch as `lesionwise bundle export` does. Weights are random.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from timm_export import NETWORKS, SIDES, unsettle
from torch import nn

from lesionwise.bundle.description import Description, ImageInput
from lesionwise.bundle.engine import Engine
from lesionwise.bundle.load import Bundle, open_content, seal
from lesionwise.errors import LesionwiseError
from lesionwise.evaluation.calibration.record import (
    Calibration,
    ClassQuantile,
    PredictionSets,
    TemperatureScaling,
)
from lesionwise.export.graph import BundleGraph, Member, Whole, to_onnx, verify_parity
from lesionwise.labels import CODES
from lesionwise.models.registry import create_model

SIDE = 96


def main(names: list[str]) -> None:
    print(
        "| network | image | trained | written by | largest difference |\n|---|---|---|---|---|", flush=True
    )
    for name in names or NETWORKS:
        side = SIDES.get(name, SIDE)
        try:
            cells = one(name, side)
        except LesionwiseError as error:
            cells = [f"{type(error).__name__}: {str(error)[:160]}", "", ""]
        except Exception as error:  # noqa: BLE001 (what the package does not explain is a result)
            cells = [f"NOT EXPLAINED, {type(error).__name__}: {str(error)[:100]}", "", ""]
        print("| " + " | ".join([name, f"{side}", *cells]) + " |", flush=True)


def one(name: str, side: int) -> list[str]:
    torch.manual_seed(0)
    network = create_model(f"timm:{name}", num_classes=7, image_size=(side, side), drop_rate=0.0)
    unsettle(network)
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3)
    loss = nn.functional.cross_entropy(network(torch.rand(2, 3, side, side)), torch.tensor([0, 1]))
    loss.backward()
    optimizer.step()
    asked: list[bool] = []
    export = torch.onnx.export

    def note(*given: Any, dynamo: bool, **named: Any) -> Any:  # noqa: ANN401 (passed on)
        asked.append(dynamo)
        return export(*given, dynamo=dynamo, **named)

    torch.onnx.export = note
    try:
        whole = BundleGraph([Member(network.eval(), Whole())], None).eval()
        exported = to_onnx(whole, (side, side))
    finally:
        torch.onnx.export = export
    written = "new exporter" if asked == [True] else "earlier exporter"
    description = Description.model_validate(
        {
            "name": "trial",
            "input": ImageInput(height=side, width=side),
            "outputs": exported.outputs,
            "calibration": CALIBRATION,
            "created": "2026-11-30",
            "package_version": "0",
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        content = seal(exported.content, description)
        engine = Engine(Bundle(Path(folder, "model.onnx"), content, "0" * 64, open_content(content)))
        return ["yes", written, f"{verify_parity(whole, engine):.0e}"]


CALIBRATION = Calibration(
    scaling=TemperatureScaling(temperature=1.0),
    prediction_sets=PredictionSets(
        rule="lac", coverage=0.9, classes={code: ClassQuantile(lesions=40, quantile=0.8) for code in CODES}
    ),
    operating_points=(),
    images=280,
    lesions=280,
    fingerprint="0" * 64,
)

if __name__ == "__main__":
    main(sys.argv[1:])
