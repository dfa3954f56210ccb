"""What differs between files of Keras 2 and Keras 3; the zoo holds whole files."""

import copy
import os
from typing import Any

import numpy as np
import pytest

from lesionwise.errors import BundleError

os.environ.setdefault("KERAS_BACKEND", "torch")
keras = pytest.importorskip("keras", reason="the extra [keras] is not installed")
from lesionwise.export.keras2 import build_model, fill  # noqa: E402 (after the skip)

pytestmark = pytest.mark.filterwarnings("ignore")  # those of Keras
CONFIG: dict[str, Any] = {
    "class_name": "Functional",
    "config": {
        "layers": [
            {
                "class_name": "InputLayer",
                "config": {"batch_input_shape": [None, 8, 8, 3], "name": "input_1"},
                "name": "input_1",
                "inbound_nodes": [],
            },
            {
                "class_name": "TFOpLambda",
                "config": {"name": "tf.math.truediv", "function": "math.truediv"},
                "name": "tf.math.truediv",
                "inbound_nodes": [["input_1", 0, 0, {"y": 255.0, "name": None}]],
            },
            {
                "class_name": "DepthwiseConv2D",
                "config": {"name": "block/dw", "kernel_size": [3, 3], "use_bias": False, "groups": 1},
                "name": "block/dw",
                "inbound_nodes": [[["tf.math.truediv", 0, 0, {}]]],
            },
        ],
        "input_layers": [["input_1", 0, 0]],
        "output_layers": [["block/dw", 0, 0]],
    },
}


def changed(layer: int, **settings: Any) -> dict[str, Any]:
    """The configuration with other settings of one layer."""
    made = copy.deepcopy(CONFIG)
    made["config"]["layers"][layer]["config"] |= settings
    return made


def test_each_array_goes_to_the_layer_of_its_name() -> None:
    model = build_model(keras, CONFIG)
    kernel = np.zeros((3, 3, 3, 1), np.float32)
    kernel[1, 1] = 255
    fill(model, {"block/dw": [kernel]})
    pixels = np.random.default_rng(0).random((1, 8, 8, 3), np.float32)
    assert np.abs(model.predict(pixels, verbose=0) - pixels[:, 1:-1, 1:-1]).max() < 1e-6


@pytest.mark.parametrize(
    "arrays", [{}, {"other": [np.zeros(3)]}, {"block/dw": [np.zeros((3, 3, 3, 1))], "more": [np.zeros(1)]}]
)
def test_arrays_that_do_not_fit_the_layers_are_refused(arrays: dict[str, Any]) -> None:
    with pytest.raises(BundleError, match="has weights of other layers than its configuration"):
        fill(build_model(keras, CONFIG), arrays)


def test_arrays_of_another_shape_are_refused() -> None:
    with pytest.raises(BundleError, match="has weights whose shape does not fit its layer block/dw"):
        fill(build_model(keras, CONFIG), {"block/dw": [np.zeros((5, 5, 3, 1))]})


def called(**arguments: Any) -> dict[str, Any]:
    """The configuration with arguments in the call of its last layer."""
    made = copy.deepcopy(CONFIG)
    made["config"]["layers"][2]["inbound_nodes"][0][0][3] |= arguments
    return made


def test_arguments_of_a_call_that_change_nothing_are_passed_over() -> None:
    assert build_model(keras, called(training=False, mask=None)).output_shape == (None, 6, 6, 3)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("Activation", {"activation": "hard_sigmoid"}),
        ("DepthwiseConv2D", {"activation": "hard_sigmoid", "kernel_size": [1, 1], "use_bias": False}),
        (
            "Activation",
            {"activation": {"class_name": "function", "config": "hard_sigmoid"}},
        ),
    ],
)
def test_hard_sigmoid_is_that_of_keras_2(kind: str, settings: dict[str, Any]) -> None:
    config = changed(1)
    config["config"]["layers"][2] |= {"class_name": kind, "config": {"name": "block/dw", **settings}}
    config["config"]["layers"][1]["inbound_nodes"][0][3]["y"] = 1.0
    model = build_model(keras, config)
    if kind != "Activation":
        fill(model, {"block/dw": [np.ones((1, 1, 3, 1), np.float32)]})
    pixels = np.random.default_rng(0).uniform(-4, 4, (1, 8, 8, 3)).astype(np.float32)
    expected = np.clip(0.2 * pixels + 0.5, 0, 1)
    assert np.abs(model.predict(pixels, verbose=0) - expected).max() < 1e-6


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (changed(1, function="image.adjust_hue"), "calls tf.image.adjust_hue between its layers"),
        (changed(2, groups=3), "DepthwiseConv2D with groups=3, which Keras 3 does not have"),
        (changed(2, groups=True), "DepthwiseConv2D with groups=True, which Keras 3 does not have"),
        (called(training=True), "calls its layer block/dw with training=True"),
    ],
)
def test_what_could_change_an_answer_is_never_left_out(config: dict[str, Any], words: str) -> None:
    with pytest.raises(BundleError, match=words):
        build_model(keras, config)
