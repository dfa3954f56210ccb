"""Images per second of a bundle from decoded images, by threads and batch size.

python benchmarks/engine_speed.py src/lesionwise/weights/best.onnx
"""

import sys
from time import perf_counter

import numpy as np

from lesionwise import load_model

SECONDS = 6


def main(path: str) -> None:
    for threads in (2, 1):
        engine = load_model(path, threads=threads)
        height, width = engine.description.input.size
        images = np.random.default_rng(0).integers(0, 255, (32, height, width, 3), dtype=np.uint8)
        for batch in (1, 32):
            engine.run(images[:batch])
            started, done = perf_counter(), 0
            while perf_counter() - started < SECONDS:
                engine.run(images[:batch])
                done += batch
            pace = done / (perf_counter() - started)
            print(f"{threads} threads, batches of {batch}: {pace:.1f} images/s")


if __name__ == "__main__":
    main(sys.argv[1])
