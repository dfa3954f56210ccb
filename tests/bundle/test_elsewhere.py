"""The examples of docs/elsewhere.md, run as they stand."""

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bundle.conftest import MakeBundle
from bundle.small_model import images
from lesionwise import load_model

PAGE = Path(__file__).resolve().parents[2] / "docs" / "elsewhere.md"
EXAMPLES = dict(
    re.findall(r"<!-- tested: (\w+) -->\n```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
)


@pytest.mark.parametrize("module", ["onnxruntime", "cv2", "openvino"])
def test_the_bundle_answers_the_same_in_another_runtime(module: str, make_bundle: MakeBundle) -> None:
    if find_spec(module) is None:
        pytest.skip(f"{module} is not installed")
    if module == "cv2" and int(__import__("cv2").__version__.split(".")[0]) < 5:
        pytest.skip("needs OpenCV 5")
    make_bundle()
    np.save("pixels.npy", images(3))
    found: dict[str, Any] = {}
    exec(EXAMPLES[module], found)  # noqa: S102 (our own page)
    expected = load_model("model.onnx", threads=1).predict(images(3)).probabilities
    assert np.abs(found["probabilities"] - expected).max() < 1e-4


def test_a_second_look_can_be_repeated_in_another_runtime(make_bundle: MakeBundle) -> None:
    pytest.importorskip("onnxruntime")
    make_bundle(second_look=1.2)
    np.save("pixels.npy", images(3))
    found: dict[str, Any] = {}
    exec(EXAMPLES["onnxruntime"] + EXAMPLES["second_look"], found)  # noqa: S102 (our own page)
    engine = load_model("model.onnx", threads=1)
    expected = engine.predict(images(3)).probabilities
    assert np.abs(engine.look(images(3))["probabilities"] - expected).max() > 1e-5
    assert np.abs(found["probabilities"] - expected).max() < 1e-6
