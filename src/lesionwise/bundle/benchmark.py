"""How fast this machine answers with a bundle: by runtime, precision, streams and batch.

Here: measuring. Not here: which precisions a bundle offers (`precision`), and decoding. All ways are measured
in turn, round after round, so that other work on the machine slows all of them alike; of each the quickest
round counts.
"""

import platform
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import numpy as np

from lesionwise.bundle.description import Precision
from lesionwise.bundle.engine import Engine
from lesionwise.bundle.load import Bundle
from lesionwise.bundle.precision import choose_precision, computable_precisions
from lesionwise.bundle.runtimes import Pixels
from lesionwise.data.images import read_image
from lesionwise.data.phantom.diagnoses import draw_lesion
from lesionwise.data.phantom.photograph import take_photograph
from lesionwise.data.phantom.skin import draw_lots_for_skin
from lesionwise.data.workspace import usable_cores
from lesionwise.labels import CODES
from lesionwise.progress import SILENT, Progress, Stages

BATCHES: Final = (1, 8, 32)
_ROUNDS: Final = 3
_PROCESSORS: Final = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class Pace:
    """How fast one way of computing a bundle is.

    Attributes:
        runtime: "openvino", "onnxruntime" or "opencv".
        streams: Batches that were computed at the same time, on all cores together.
        batch: Images in each.
        images_per_s: Of the quickest round.
        changed: Share of the images whose likeliest diagnosis is not that of OpenVINO in fp32.
        largest_difference: Between two probabilities of these.
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
    """One way of computing a bundle; `probabilities` is the function from images to its answers."""

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
        seconds: How long each way is measured for each size of a batch, in all rounds together.
        progress: Receives the rounds.
    """
    ways = list(_ways(bundle))
    answers = [np.concatenate([way.probabilities(one[None]) for one in images]) for way in ways]
    quickest = dict.fromkeys(((place, batch) for place in range(len(ways)) for batch in BATCHES), 0.0)
    stages = Stages(progress, _ROUNDS)
    for _ in range(_ROUNDS):
        stages.begin("measuring")
        for place, batch in quickest:
            found = _pace(ways[place], _batch(images, batch), seconds / _ROUNDS)
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


def processor_name() -> str:
    """Return what this machine calls its processor."""
    lines = _PROCESSORS.read_text().splitlines() if _PROCESSORS.is_file() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def draw_images(size: tuple[int, int], count: int) -> Pixels:
    """Return drawn lesions at a height and width, shape (N, H, W, 3)."""
    rng = np.random.default_rng(0)
    lesions = (draw_lesion(CODES[number % len(CODES)], rng) for number in range(count))
    photographs = (take_photograph(lesion, draw_lots_for_skin(rng), rng) for lesion in lesions)
    return np.stack([read_image(photograph.jpeg, size) for photograph in photographs])


def _ways(bundle: Bundle) -> Iterator[Way]:
    """Yield OpenVINO in fp32 first, which the others are compared with, or in the bundle's only precision."""
    cores = usable_cores()
    for precision in sorted(computable_precisions(bundle.description), key=lambda name: name != "fp32"):
        for streams in sorted({1, cores}):
            engine = Engine(bundle, streams=streams, precision=precision)
            yield Way("openvino", precision, streams, _prober(engine))
    plain = choose_precision(bundle.description, None, "onnxruntime")
    if find_spec("onnxruntime"):
        for streams in sorted({1, cores}):
            engine = Engine(bundle, runtime="onnxruntime", streams=streams)
            yield Way("onnxruntime", plain, streams, _prober(engine))
    if (opencv := _opencv(bundle)) and plain != "int8":
        yield Way("opencv", plain, 1, opencv)


def _prober(engine: Engine) -> Callable[[Pixels], Any]:
    return lambda images: engine.run(images)["probabilities"]


def _opencv(bundle: Bundle) -> Callable[[Pixels], Any] | None:
    """Return the function that answers with OpenCV; None before OpenCV 5, the first to read a bundle."""
    if not find_spec("cv2"):
        return None
    import cv2  # noqa: PLC0415 (an extra)

    if not hasattr(cv2.dnn, "ENGINE_CLASSIC"):
        return None
    # The same file as bytes would be read by the new engine, which answers otherwise without a word.
    net = cv2.dnn.readNetFromONNX(str(bundle.path), cv2.dnn.ENGINE_CLASSIC)
    metadata = bundle.description.metadata

    def probabilities(images: Pixels) -> Any:  # noqa: ANN401 (a module without types)
        net.setInput(images, "image")
        if metadata is not None:
            net.setInput(np.zeros((len(images), metadata.length), np.float32), "metadata")
        return net.forward("probabilities")

    return probabilities


def _batch(images: Pixels, size: int) -> Pixels:
    return np.ascontiguousarray(np.resize(images, (size, *images.shape[1:])))


def _pace(way: Way, batch: Pixels, seconds: float) -> float:
    """Return images a second, while as many threads ask as there are streams."""

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
