"""How near a PNG is read to a JPEG of the same pixels, by the filter that scales the PNG down.

    python benchmarks/accuracy/readers.py ham10000

takes every fifth image of `cal` in the reference split, and lets `best` answer on one thread. It prints: by
how many grey levels the picture that the model gets differs, how many images get another likeliest diagnosis,
decision or melanoma flag, and how far the probability of a malignant diagnosis moves.
"""

import io
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from lesionwise.arrays import Pixels
from lesionwise.bundle.decide import decide
from lesionwise.bundle.engine import load_model
from lesionwise.data.block_scaling import eighths
from lesionwise.data.dataset import read_dataset
from lesionwise.data.images import _crop_resize, _least_sides, fit_image
from lesionwise.split.split_file import read_split

EVERY = 5  # of the images
FILTERS = ("HAMMING", "BICUBIC", "LANCZOS", "BOX", "BILINEAR")
SPLIT = Path(__file__).resolve().parents[1] / "reference_split.csv"


def whole(content: bytes) -> Pixels:
    """Decode a JPEG at its full size."""
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


def at_once(pixels: Pixels, size: tuple[int, int], name: str) -> Pixels:
    """Resize a 4:3 picture in one step, as all files but JPEGs were once read with BICUBIC."""
    return np.asarray(Image.fromarray(pixels).resize(size[::-1], Image.Resampling[name]))


def by_eighth(pixels: Pixels, size: tuple[int, int], name: str) -> Pixels:
    """Scale down to the eighth that a JPEG decoder takes, on its grid of blocks, then cut and resize."""
    sides = pixels.shape[0], pixels.shape[1]
    k = eighths(sides, _least_sides(sides, size, ()))
    padded = np.pad(pixels, [(0, -side % 8) for side in sides] + [(0, 0)], mode="edge")
    scaled = Image.fromarray(padded).resize(
        (padded.shape[1] * k // 8, padded.shape[0] * k // 8), Image.Resampling[name]
    )
    return _crop_resize(np.asarray(scaled)[: -(-sides[0] * k // 8), : -(-sides[1] * k // 8)], size)


def ways() -> dict[str, Callable[[Pixels, tuple[int, int]], Pixels]]:
    """Return the ways to scale pixels down, by name."""
    return {
        "as a JPEG decoder does (now)": fit_image,
        **{
            f"{name} to the decoder's eighth, then BICUBIC": partial(by_eighth, name=name) for name in FILTERS
        },
        **{
            f"{name} in one step{' (before)' if name == 'BICUBIC' else ''}": partial(at_once, name=name)
            for name in FILTERS
        },
    }


def main() -> None:
    """Print the table."""
    dataset, engine = read_dataset(sys.argv[1]), load_model(threads=1)
    known = set(read_split(SPLIT).image_ids("cal"))
    rows = [row for row, name in enumerate(dataset.table["image_id"]) if name in known][::EVERY]
    size, encoding = engine.description.input.size, engine.description.metadata
    told = engine.encode(encoding.known(dataset.records(rows, encoding.names))) if encoding else None
    levels, prob, foreign = [], [], []
    for number, row in enumerate(rows):
        content = dataset.paths[row].read_bytes()
        pixels, jpeg = whole(content), engine.read(content)
        seen = np.stack([jpeg, *(scale(pixels, size) for scale in ways().values())])
        levels.append(np.abs(seen[1:].astype(int) - jpeg).mean((1, 2, 3)))
        own = None if told is None else np.repeat(told[number : number + 1], len(seen), axis=0)
        outputs = engine.run(seen, own)
        prob.append(outputs["probabilities"])
        foreign.append(outputs["ood_score"])
    said = [
        decide(engine.description, *values)
        for values in zip(np.stack(prob, axis=1), np.stack(foreign, axis=1), strict=True)
    ]
    print(f"{len(rows)} images of cal, {size[0]}x{size[1]}\n")
    print("| the PNG is scaled down | grey levels | other diagnosis | decision | flag | probability moves |")
    print("|---|---|---|---|---|---|")
    for way, apart, found in zip(ways(), np.mean(levels, axis=0), said[1:], strict=True):
        others = [
            f"{100 * np.mean(getattr(found, what) != getattr(said[0], what)):.1f} %"
            for what in ("top", "decision", "above_melanoma_threshold")
        ]
        moved = np.abs(found.malignant_probability - said[0].malignant_probability)
        reach = f"{moved.mean():.4f}, at most {moved.max():.3f}"
        print(f"| {way} | {apart:.2f} | {' | '.join(others)} | {reach} |")


if __name__ == "__main__":
    main()
