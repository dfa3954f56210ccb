"""Do the answers of OpenVINO depend on streams, hints, the cache folder, priority, batches, or the processor?

python benchmarks/correctness/openvino_settings.py MODEL.onnx

Twelve drawn pictures; every setting is compared with one stream, one thread and one picture at a time.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import openvino.properties as props
from numpy.typing import NDArray
from openvino.properties import hint

PICTURES = 12
METADATA = 18
LEVELS = ("SSE41", "AVX2", "AVX512_CORE", "ALL")
F32: dict[Any, Any] = {hint.inference_precision: ov.Type.f32, props.inference_num_threads: 1}
BF16 = {**F32, hint.inference_precision: ov.Type.bf16}
LATENCY, THROUGHPUT = hint.PerformanceMode.LATENCY, hint.PerformanceMode.THROUGHPUT


def main(path: str) -> None:
    core = ov.Core()
    print(f"OpenVINO {ov.__version__}, {core.get_property('CPU', props.device.full_name)}\n")
    print("| setting | largest difference of a probability |\n|---|---|")
    model = core.read_model(path)
    images = pictures(model)
    plain = answer(core.compile_model(model, "CPU", F32), images, 1)

    def show(setting: str, found: NDArray[np.float32]) -> None:
        difference = float(np.abs(found - plain).max())
        print(
            f"| {setting} | {'same bits' if np.array_equal(found, plain) else f'{difference:.1e}'} |",
            flush=True,
        )

    for setting, options in {
        "two threads": {props.inference_num_threads: 2},
        "two streams, two threads": {props.num_streams: 2, props.inference_num_threads: 2},
        "four streams, two threads": {props.num_streams: 4, props.inference_num_threads: 2},
        "LATENCY": {hint.performance_mode: LATENCY},
        "THROUGHPUT, two threads": {hint.performance_mode: THROUGHPUT, props.inference_num_threads: 2},
    }.items():
        show(setting, answer(core.compile_model(model, "CPU", {**F32, **options}), images, 1))
    try:
        compiled = core.compile_model(model, "CPU", {**F32, hint.model_priority: hint.Priority.HIGH})
        show("high priority", answer(compiled, images, 1))
    except RuntimeError as error:
        print(f"| high priority | refused: {str(error).strip().splitlines()[-1]} |", flush=True)
    compiled = core.compile_model(model, "CPU", F32)
    show("batches of 4, open batch", answer(compiled, images, 4))
    show("batches of 12, open batch", answer(compiled, images, 12))
    for number in (1, 4):
        fixed = core.read_model(path)
        fixed.reshape({"image": [number, *images.shape[1:]], "metadata": [number, METADATA]})
        show(
            f"batches of {number}, fixed batch", answer(core.compile_model(fixed, "CPU", F32), images, number)
        )
    show("bf16", answer(core.compile_model(model, "CPU", BF16), images, 1))
    with tempfile.TemporaryDirectory() as folder:
        core.set_property({props.cache_dir: folder})
        for setting, options in (
            ("f32, written to the cache", F32),
            ("f32, from the cache", F32),
            ("bf16, after f32 was cached", BF16),
            ("bf16, from the cache", BF16),
            ("f32 once more", F32),
        ):
            compiled = core.compile_model(path, "CPU", options)
            cached = compiled.get_property(props.loaded_from_cache)
            files = len(list(Path(folder).iterdir()))
            show(f"{setting} (loaded from it: {cached}; {files} files)", answer(compiled, images, 1))
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder, "images.npy"), images)
        for level in LEVELS:
            target = Path(folder, f"{level}.npy")
            environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": level}
            command = [
                sys.executable,
                __file__,
                "--answer",
                path,
                str(Path(folder, "images.npy")),
                str(target),
            ]
            subprocess.run(command, env=environment, check=True)
            show(f"processor capped at {level}", np.load(target))


def pictures(model: ov.Model) -> NDArray[np.uint8]:
    """Return smooth pictures of skin's colours with a dark middle."""
    height, width = (model.input(0).partial_shape[axis].get_length() for axis in (1, 2))
    rng = np.random.default_rng(0)
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    drawn = []
    for _ in range(PICTURES):
        angle, size = rng.uniform(0, np.pi), rng.uniform(0.3, 0.8)
        across = (x * np.cos(angle) + y * np.sin(angle)) ** 2 + 2 * (
            y * np.cos(angle) - x * np.sin(angle)
        ) ** 2
        lesion = np.exp(-across / size**2)[..., None] * rng.uniform(60, 150, 3)
        drawn.append(np.clip([220, 170, 150] - lesion + rng.normal(0, 6, (height, width, 3)), 0, 255))
    return np.asarray(drawn).astype(np.uint8)


def answer(compiled: ov.CompiledModel, images: NDArray[np.uint8], number: int) -> NDArray[np.float32]:
    """Return the probabilities, asked for in batches of this number, with requests in parallel."""
    found: dict[int, NDArray[np.float32]] = {}
    queue = ov.AsyncInferQueue(compiled)
    queue.set_callback(lambda request, place: found.update({place: request.get_output_tensor(0).data.copy()}))
    for start in range(0, len(images), number):
        part = images[start : start + number]
        unknown = np.zeros((len(part), METADATA), np.float32)
        queue.start_async({"image": part, "metadata": unknown}, start)
    queue.wait_all()
    return np.concatenate([found[place] for place in sorted(found)])


if __name__ == "__main__":
    if sys.argv[1] == "--answer":
        compiled = ov.Core().compile_model(sys.argv[2], "CPU", F32)
        np.save(sys.argv[4], answer(compiled, np.load(sys.argv[3]), 1))
    else:
        main(sys.argv[1])
