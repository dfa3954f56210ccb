"""A whole bundle made by hand, in milliseconds: it judges pictures by their mean colour.

Dark is melanoma, light is a nevus, in between is both; what is bluer than red is no lesion image.
"""

import io
from datetime import date
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from lesionwise.bundle.description import Description, ImageInput, PartScores, Score
from lesionwise.bundle.load import seal
from lesionwise.evaluation.calibration.record import (
    Calibration,
    ClassQuantile,
    Interval,
    OperatingPoint,
    PredictionSets,
    TemperatureScaling,
)
from lesionwise.labels import CODES, INDEX

HEIGHT, WIDTH = 48, 64
CUTOFF = 0.1
LIGHT, BETWEEN, DARK = (200, 150, 130), (130, 96, 80), (60, 40, 30)
BLUE = (40, 90, 220)


def calibration(**changes: object) -> Calibration:
    """What a calibration on forty lesions of each diagnosis might say."""
    interval = Interval(value=0.9, low=0.8, high=0.95)
    fields = {
        "scaling": TemperatureScaling(temperature=1.0),
        "prediction_sets": PredictionSets(
            rule="lac",
            coverage=0.9,
            classes={code: ClassQuantile(lesions=40, quantile=0.9) for code in CODES},
        ),
        "operating_points": (
            OperatingPoint(
                question="melanoma",
                aim="sensitivity",
                at_least=0.9,
                threshold=0.2,
                sensitivity=interval,
                specificity=interval,
                positives=40,
                negatives=240,
            ),
        ),
        "images": 280,
        "lesions": 280,
        "fingerprint": "0" * 64,
        **changes,
    }
    return Calibration.model_validate(fields)


def describe(**changes: object) -> Description:
    """The description of the hand-made graph, with some fields changed."""
    score = Score(value=0.7, low=0.66, high=0.74)
    fields = {
        "name": "drawn",
        "input": ImageInput(height=HEIGHT, width=WIDTH),
        "outputs": ("probabilities", "logits", "ood_score", "cam"),
        "calibration": calibration(),
        "ood_cutoff": CUTOFF,
        "scores": {
            "test": PartScores(
                images=200,
                lesions=150,
                overall={"balanced_accuracy": score, "accuracy": score},
                per_class={code: {"recall": score} for code in CODES},
            )
        },
        "licence": "CC0-1.0",
        "created": date(2026, 1, 1),
        "package_version": "0",
        **changes,
    }
    return Description.model_validate(fields)


def write_bundle(path: Path, **changes: object) -> Path:
    """Write the bundle."""
    description = describe(**changes)
    numbers = description.metadata.length if description.metadata else 0
    graph = _graph(numbers, embedding="embedding" in description.outputs)
    path.write_bytes(seal(graph.SerializeToString(), description))
    return path


def picture(
    color: tuple[int, int, int] = LIGHT,
    size: tuple[int, int] = (160, 120),
    form: str = "JPEG",
    **save: object,
) -> bytes:
    """An image file of nearly one colour, with a darker spot left of the middle."""
    pixels = np.full((size[1], size[0], 3), color, np.uint8)
    pixels[size[1] // 3 : size[1] // 2, size[0] // 4 : size[0] // 2] = np.array(color) // 2
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form, **save)
    return file.getvalue()


def _graph(numbers: int = 0, *, embedding: bool = False) -> onnx.ModelProto:
    """The graph; metadata add to basal cell carcinoma. Its embedding is the colour of each tile."""
    weights, bias = np.zeros((3, 7), np.float32), np.full(7, -6, np.float32)
    bias[INDEX["nv"]], bias[INDEX["mel"]] = 0, 16
    weights[:, INDEX["mel"]] = -40 / 3
    constants: dict[str, np.ndarray] = {
        "weights": weights,
        "bias": bias,
        "byte": np.array(255, np.float32),
        "bluer": np.array([-1, 0, 1], np.float32),
        "places": np.array([1, 2], np.int64),
    }
    nodes = [
        helper.make_node("Cast", ["image"], ["raw"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["raw", "byte"], ["pixels"]),
        helper.make_node("ReduceMean", ["pixels", "places"], ["colour"], keepdims=0),
        helper.make_node("MatMul", ["colour", "weights"], ["product"]),
        helper.make_node("Add", ["product", "bias"], ["image_logits" if numbers else "logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        helper.make_node("MatMul", ["colour", "bluer"], ["ood_score"]),
        helper.make_node("Transpose", ["pixels"], ["channels"], perm=[0, 3, 1, 2]),
        helper.make_node("AveragePool", ["channels"], ["tiles"], kernel_shape=[8, 8], strides=[8, 8]),
        helper.make_node("Transpose", ["tiles"], ["tiles_last"], perm=[0, 2, 3, 1]),
        helper.make_node("MatMul", ["tiles_last", "weights"], ["tile_product"]),
        helper.make_node("Add", ["tile_product", "bias"], ["tile_logits"]),
        helper.make_node("Transpose", ["tile_logits"], ["cam"], perm=[0, 3, 1, 2]),
    ]
    inputs = [helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", HEIGHT, WIDTH, 3])]
    if numbers:
        constants["told"] = np.zeros((numbers, 7), np.float32)
        constants["told"][:, INDEX["bcc"]] = 10
        inputs.append(helper.make_tensor_value_info("metadata", TensorProto.FLOAT, ["N", numbers]))
        told = helper.make_node("MatMul", ["metadata", "told"], ["added"])
        nodes[5:5] = [told, helper.make_node("Add", ["image_logits", "added"], ["logits"])]
    shapes: dict[str, list[str | int | None]] = {
        "probabilities": ["N", 7],
        "logits": ["N", 7],
        "ood_score": ["N"],
        "cam": ["N", 7, HEIGHT // 8, WIDTH // 8],
    }
    if embedding:
        constants["grey"] = np.array(0.5, np.float32)
        nodes.append(helper.make_node("Flatten", ["tiles"], ["colours"]))
        nodes.append(helper.make_node("Sub", ["colours", "grey"], ["embedding"]))
        sides = HEIGHT // 8 * WIDTH // 8
        places = list(shapes.items())
        shapes = dict([*places[:2], ("embedding", ["N", 3 * sides]), *places[2:]])
    graph = helper.make_graph(
        nodes,
        "drawn",
        inputs,
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
