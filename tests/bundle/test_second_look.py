"""Near ties get a second look at the mirror image."""

import numpy as np
import pytest

from bundle.conftest import MakeBundle
from bundle.small_model import CALIBRATION, images
from lesionwise.bundle.engine import Engine
from lesionwise.bundle.runtimes import Arrays, Inputs
from lesionwise.bundle.second_look import look_twice, mirror_weight
from lesionwise.errors import BundleError
from lesionwise.evaluation.calibration.record import softmax
from lesionwise.labels import CODES

ALWAYS = 1e9
LIMIT = 2.0


def row(first: float, second: float) -> list[float]:
    return [first, second, *[-9.0] * (len(CODES) - 2)]


def test_the_mirror_image_counts_half_near_a_tie_and_less_and_less_up_to_the_limit() -> None:
    logits = np.array([row(1, 1), row(2, 1), row(1, 2.5), row(3, 1), row(0, 9)])
    np.testing.assert_allclose(mirror_weight(logits, LIMIT), [0.5, 0.5, 0.25, 0, 0])


def answering(inputs: Inputs) -> Arrays:
    """A model that sees melanoma, the more the brighter the left half is, and nothing else in metadata."""
    width = inputs["image"].shape[2]
    left = inputs["image"][:, :, : width // 2].astype(float).mean((1, 2, 3)) / 100
    logits = np.array([row(value, known[0]) for value, known in zip(left, inputs["metadata"], strict=True)])
    return {
        "logits": logits.astype(np.float32),
        "probabilities": softmax(logits).astype(np.float32),
        "cam": (inputs["image"][..., 0] * left[:, None, None])[:, None].astype(np.float32),
        "embedding": left[:, None].astype(np.float32),
    }


def test_logits_are_averaged_where_two_are_nearly_equal_and_nothing_else_changes() -> None:
    pixels = np.full((2, 4, 6, 3), 50, np.uint8)
    pixels[:, :, :3] = 100  # both say 1, and their mirror images 0.5
    inputs: Inputs = {"image": pixels, "metadata": np.array([[1], [4]], np.float32)}
    before = answering(inputs)
    after = look_twice(answering, LIMIT, CALIBRATION.probabilities)(inputs)
    np.testing.assert_allclose(after["logits"], [row(0.75, 1), row(1, 4)])
    np.testing.assert_allclose(
        after["probabilities"],
        [CALIBRATION.probabilities([row(0.75, 1)])[0], before["probabilities"][1]],
        rtol=1e-6,
    )
    np.testing.assert_allclose(after["cam"][0, 0, 0], [75, 75, 75, 37.5, 37.5, 37.5])
    np.testing.assert_array_equal(after["cam"][1], before["cam"][1])
    np.testing.assert_array_equal(after["embedding"], before["embedding"])
    assert (inputs["image"] == pixels).all()


def test_a_model_without_a_second_look_is_run_once() -> None:
    assert look_twice(answering, 0) is answering


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_mirrored_image_gets_the_same_answer(make_bundle: MakeBundle, precision: str) -> None:
    check = {"images": 9, "changed": 0, "largest_difference": 0.1, "margin": 0.5}
    bundle = make_bundle(second_look=ALWAYS, precisions={"bf16": check})
    try:
        engine = Engine(bundle, threads=1, precision=precision)  # type: ignore[arg-type]
    except BundleError as error:
        pytest.skip(str(error))
    pixels = images(8)
    own, mirrored = engine.run(pixels), engine.run(np.ascontiguousarray(pixels[:, :, ::-1]))
    np.testing.assert_allclose(own["probabilities"], mirrored["probabilities"], atol=1e-6)
    once = engine.look(pixels)
    assert np.abs(once["logits"] - own["logits"]).max() > 1e-4
    for name in ("embedding", "ood_score"):
        np.testing.assert_array_equal(own[name], once[name])
    np.testing.assert_allclose(
        own["cam"].mean((2, 3)), own["logits"], atol=1e-5 if precision == "fp32" else 1e-2
    )
