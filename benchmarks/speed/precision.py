"""One model in fp32, bf16 and int8: answers on the images of val, and speed, in turn on the same machine.

    python benchmarks/speed/precision.py RUN FP32.onnx BF16.onnx INT8.onnx

RUN is what the three bundles were exported from; its data folder must be there. One thread.
"""

import sys
from dataclasses import replace
from pathlib import Path
from time import process_time

import numpy as np

from lesionwise.bundle.engine import BATCH, Engine, load_model
from lesionwise.evaluation.compare import compare
from lesionwise.evaluation.runs.predictions import read_run_predictions
from lesionwise.export.precision import count_changes
from lesionwise.run_folder import open_run_folder
from lesionwise.training.run import prepare_again

ROUNDS = 12


def speeds(engines: dict[str, Engine], pixels: np.ndarray, batch: int) -> dict[str, float]:
    """Images per second of processor time; the best round, because others use the machine too."""
    best = dict.fromkeys(engines, 0.0)
    for _ in range(ROUNDS):
        for name, engine in engines.items():
            started = process_time()
            for start in range(0, 32, batch):
                engine.run(pixels[start : start + batch])
            best[name] = max(best[name], 32 / (process_time() - started))
    return best


def main(run_path: str, *files: str) -> None:
    run = open_run_folder(Path(run_path))
    _, data, _ = prepare_again(run)
    said = read_run_predictions(run, "val")
    place = {name: row for row, name in enumerate(data.image_id)}
    pixels = data.pixels[[place[name] for name in said.image_id]]
    engines = {f"{name} on openvino": load_model(name, threads=1) for name in files}
    for name in (files[0], files[-1]):  # it computes bf16 in fp32
        engines[f"{name} on onnxruntime"] = load_model(name, runtime="onnxruntime", threads=1)
    for batch in (1, BATCH):
        found = speeds(engines, pixels, batch)
        for name, speed in found.items():
            ratio = speed / found[f"{files[0]} on {name.partition(' on ')[2]}"]
            print(f"batches of {batch:2}  {name:28} {speed:6.0f} images/s of processor, {ratio:.2f} of fp32")
    answers = {
        name: engine.answers([engine.run(part) for part in np.array_split(pixels, len(pixels) // BATCH)])
        for name, engine in engines.items()
    }
    full = answers[f"{files[0]} on openvino"]
    for name, own in answers.items():
        print(name, count_changes(full, own, said.y_true))
    named = [
        (name, replace(said, y_prob=answers[f"{name} on openvino"].probabilities.astype(float)))
        for name in files
    ]
    for row in compare(named).comparisons:
        for score in ("balanced_accuracy", "log_loss"):
            print(f"{row.name} less {row.reference}, {score}: {row.differences[score]}")


if __name__ == "__main__":
    main(*sys.argv[1:])
