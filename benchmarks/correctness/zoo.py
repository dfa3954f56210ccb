"""Import every file of the zoo (tests/export/zoo) and count what comes of it.

    python benchmarks/correctness/zoo.py

`PYTHONPATH` decides which version of lesionwise does it.
"""

import json
import re
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from lesionwise.bundle.engine import load_model
from lesionwise.export.foreign import Conventions, import_model
from lesionwise.labels import CODES

ZOO = Path(__file__).resolve().parents[2] / "tests/export/zoo"
OUTCOMES = ("imported", "refused with the reason", "refused otherwise", "wrong")


def outcome(name: str, note: dict[str, Any], out: Path) -> tuple[str, str]:
    """Return one of `OUTCOMES`, and the difference or the message."""
    fields = {key: note[key] for key in ("gives", "divide", "mean", "std", "channels", "size") if key in note}
    fields |= {key: tuple(fields[key]) for key in ("mean", "std", "size") if key in fields}
    try:
        import_model(ZOO / name, out, Conventions(classes=CODES, **fields), name="zoo")
    except Exception as error:  # noqa: BLE001 (whatever it is, it is counted)
        words = str(error)
        fits = "refused" in note and re.search(f"was not.*{note['refused']}", words, re.DOTALL)
        return OUTCOMES[1 if fits else 2], f"{len(words):,} characters: {' '.join(words.split())[:100]}"
    engine = load_model(out, threads=1)
    height, width = engine.description.input.size
    coarse = np.random.default_rng(7).integers(0, 256, (3, -(-height // 4), -(-width // 4), 3), np.uint8)
    pixels = coarse.repeat(4, 1).repeat(4, 2)[:, :height, :width]
    found = engine.predict(list(pixels)).probabilities
    if "refused" in note:
        return OUTCOMES[3], f"imported, but {note['refused']}"
    answers = np.array(note["answers"])
    if note["gives"] == "logits":
        answers = np.exp(answers - answers.max(1, keepdims=True))
        answers /= answers.sum(1, keepdims=True)
    if "size" in note and list(engine.description.input.size) != note["size"]:
        return OUTCOMES[3], f"takes {height}x{width} pixels"
    difference = float(np.abs(found - answers).max())
    return OUTCOMES[0 if difference < note.get("tolerance", 1e-4) else 3], f"{difference:.1e}"


def main() -> None:
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        for tool in ("tensorflow", "keras", "torch"):
            for name, note in json.loads((ZOO / f"{tool}.json").read_text(encoding="utf-8")).items():
                what, detail = outcome(name, note, Path(folder, "out.onnx"))
                counts[what] += 1
                print(f"| {name} | {note['tool']} | {what} | {detail} |", flush=True)
    print(", ".join(f"{counts[what]} {what}" for what in OUTCOMES))


if __name__ == "__main__":
    main()
