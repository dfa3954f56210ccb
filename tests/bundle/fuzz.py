"""Mutates a bundle many times; run in a process of its own, which a crash would end.

Each mutant is refused with a `BundleError` or opens with a valid description. "resealed" gives each a
checksum that fits, as somebody would who means harm, so that the checks behind it are the ones tried;
what opens is then also built and run on one image.
"""

import json
import sys
from hashlib import sha256
from pathlib import Path

import numpy as np

from lesionwise.bundle.engine import Engine
from lesionwise.bundle.load import CHECKSUM_KEY, Bundle, open_content
from lesionwise.bundle.onnx_file import metadata_entry
from lesionwise.bundle.runtimes import RUNTIMES, Runtime
from lesionwise.errors import BundleError, MissingExtraError

END = len(metadata_entry(CHECKSUM_KEY, b"0" * 64))


def mutate(content: bytes, rng: np.random.Generator) -> bytes:
    """Flip bits, cut, remove, repeat or overwrite a stretch; half of the time near the ends."""
    changed = bytearray(content)
    near = rng.random() < 0.5  # where the structure is
    span = min(len(content), 20_000) if near else len(content)
    start = int(rng.integers(span))
    start = len(content) - 1 - start if near and rng.random() < 0.5 else start
    length = int(rng.integers(1, 2 ** rng.integers(1, 12)))
    kind = rng.integers(6)
    if kind == 0:
        for place in rng.integers(0, len(changed), int(rng.integers(1, 9))):
            changed[place] ^= 1 << int(rng.integers(8))
    elif kind == 1:
        changed[start] ^= 1 << int(rng.integers(8))
    elif kind == 2:
        del changed[start:]
    elif kind == 3:
        del changed[start : start + length]
    elif kind == 4:
        changed[start:start] = changed[start : start + length]
    else:
        elsewhere = int(rng.integers(len(content)))
        changed[start : start + length] = content[elsewhere : elsewhere + length]
    return bytes(changed)


def attempt(path: Path, content: bytes, *, run: bool) -> str:
    """Return how far a file comes."""
    try:
        bundle = Bundle(path, content, "", open_content(content))
    except BundleError:
        return "refused"
    if not run:
        return "opened"
    ends = [_run(bundle, runtime) for runtime in RUNTIMES]
    return "ran" if "ran" in ends else ends[0]


def _run(bundle: Bundle, runtime: Runtime) -> str:
    try:
        answers = Engine(bundle, runtime=runtime, threads=1).predict(np.zeros((24, 32, 3), np.uint8))
    except BundleError:
        return "not built"
    except MissingExtraError:
        return "not installed"
    return "ran" if len(answers.decisions.decision) == 1 else "silent"


def main(path: Path, trials: int, *, resealed: bool) -> None:
    """Print how far each mutant came."""
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    counts: dict[str, int] = {}
    for _ in range(trials):
        mutant = mutate(content[:-END] if resealed else content, rng)
        if resealed:
            mutant += metadata_entry(CHECKSUM_KEY, sha256(mutant).hexdigest().encode())
        end = attempt(path, mutant, run=resealed)
        counts[end] = counts.get(end, 0) + 1
    sys.stdout.write(json.dumps(counts))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[3]), resealed=sys.argv[2] == "resealed")
