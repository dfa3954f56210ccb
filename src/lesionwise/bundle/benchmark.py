"""How fast this machine answers with a bundle: by runtime, precision, streams and batch size.

Here: measuring. Not here: which precisions a bundle offers (`precision`), and decoding. All ways are measured
in turn, round after round, so that other work on the machine slows all of them alike. The fastest round of
each way counts.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from lesionwise.arrays import Float32s, Pixels
from lesionwise.bundle.description import Precision
from lesionwise.bundle.engine import Engine
from lesionwise.bundle.load import Bundle
from lesionwise.bundle.precision import choose_precision, computable_precisions
from lesionwise.data.images import read_image
from lesionwise.data.phantom.diagnoses import draw_lesion
from lesionwise.data.phantom.photograph import draw_lots_for_skin, take_photograph
from lesionwise.execution import usable_cores
from lesionwise.labels import CODES
from lesionwise.progress import SILENT, Progress, Stages

if TYPE_CHECKING:
    from lesionwise.bundle.runtimes import Runtime

BATCHES: Final = (1, 8, 32)
_ROUNDS: Final = 3


@dataclass(frozen=True)
class Pace:
    """How fast one way of computing a bundle is.

    Attributes:
        runtime: "openvino", "onnxruntime" or "opencv".
        streams: Number of batches that were computed at the same time, on all cores together.
        batch: Number of images in a batch.
        images_per_s: Pace of the fastest round.
        changed: Share of the images whose most likely diagnosis differs from that of OpenVINO in fp32.
        largest_difference: Largest difference between a probability and that of OpenVINO in fp32.
    """

    runtime: str
    precision: Precision
    streams: int
    batch: int
    images_per_s: float
    changed: float
    largest_difference: float


@dataclass(frozen=True)
class Way:
    """One way of computing a bundle; `probabilities` computes its answers to images."""

    runtime: str
    precision: Precision
    streams: int
    probabilities: Callable[[Pixels], Any]


def measure_paces(
    bundle: Bundle, images: Pixels, *, seconds: float = 1.0, progress: Progress = SILENT
) -> list[Pace]:
    """Return the pace of each way in which this machine can compute a bundle.

    Args:
        images: As `Engine.read` gives them, shape (N, H, W, 3).
        seconds: How long each way is measured for each batch size, in all rounds together.
    """
    ways = list(_ways(bundle))
    answers = [np.concatenate([way.probabilities(one[None]) for one in images]) for way in ways]
    quickest = dict.fromkeys(((place, batch) for place in range(len(ways)) for batch in BATCHES), 0.0)
    stages = Stages(progress, _ROUNDS)
    for _ in range(_ROUNDS):
        stages.begin("measuring")
        for place, batch in quickest:
            pixels = np.ascontiguousarray(np.resize(images, (batch, *images.shape[1:])))
            found = _pace(ways[place], pixels, seconds / _ROUNDS)
            quickest[place, batch] = max(quickest[place, batch], found)
    return [
        Pace(
            runtime=way.runtime,
            precision=way.precision,
            streams=way.streams,
            batch=batch,
            images_per_s=quickest[place, batch],
            changed=float((own.argmax(1) != answers[0].argmax(1)).mean()),
            largest_difference=float(np.abs(own - answers[0]).max()),
        )
        for place, (way, own) in enumerate(zip(ways, answers, strict=True))
        for batch in BATCHES
    ]


def draw_images(size: tuple[int, int], count: int) -> Pixels:
    """Return drawn lesions at a height and width, shape (N, H, W, 3)."""
    rng = np.random.default_rng(0)
    lesions = (draw_lesion(CODES[number % len(CODES)], rng) for number in range(count))
    photographs = (take_photograph(lesion, draw_lots_for_skin(rng), rng) for lesion in lesions)
    return np.stack([read_image(photograph.jpeg, size) for photograph in photographs])


def _ways(bundle: Bundle) -> Iterator[Way]:
    """Yield all ways; the first, with which all are compared, is OpenVINO in fp32 if the bundle offers it."""
    precisions = sorted(computable_precisions(bundle.description), key=lambda name: name != "fp32")
    plain = choose_precision(bundle.description, None, "onnxruntime")
    pairs: list[tuple[Runtime, Precision]] = [("openvino", precision) for precision in precisions]
    if find_spec("onnxruntime"):
        pairs.append(("onnxruntime", plain))
    for runtime, precision in pairs:
        for streams in sorted({1, usable_cores()}):
            engine = Engine(bundle, runtime=runtime, streams=streams, precision=precision)
            yield Way(runtime, precision, streams, partial(_probabilities, engine))
    if (opencv := _opencv(bundle)) and plain != "int8":
        yield Way("opencv", plain, 1, opencv)


def _probabilities(engine: Engine, images: Pixels) -> Float32s:
    return engine.look(images)["probabilities"]


def _opencv(bundle: Bundle) -> Callable[[Pixels], Any] | None:
    """Return the function that answers with OpenCV; None before version 5, the first that reads bundles."""
    if not find_spec("cv2"):
        return None
    import cv2  # noqa: PLC0415 (an extra)

    if not hasattr(cv2.dnn, "ENGINE_CLASSIC"):
        return None
    # OpenCV reads the same file as bytes with its new engine, whose answers differ without a warning.
    net = cv2.dnn.readNetFromONNX(str(bundle.path), cv2.dnn.ENGINE_CLASSIC)
    metadata = bundle.description.metadata

    def probabilities(images: Pixels) -> Any:  # noqa: ANN401 (a module without types)
        net.setInput(images, "image")
        if metadata is not None:
            net.setInput(np.zeros((len(images), metadata.length), np.float32), "metadata")
        return net.forward("probabilities")

    return probabilities


def _pace(way: Way, batch: Pixels, seconds: float) -> float:
    """Return images per second while each stream has one thread that asks."""

    def ask(until: float) -> int:
        done = 0
        while not done or perf_counter() < until:
            way.probabilities(batch)
            done += len(batch)
        return done

    with ThreadPoolExecutor(way.streams) as callers:
        list(callers.map(ask, [0.0] * way.streams))  # each thread's first call sets itself up
        started = perf_counter()
        done = sum(callers.map(ask, [started + seconds] * way.streams))
        return done / (perf_counter() - started)
