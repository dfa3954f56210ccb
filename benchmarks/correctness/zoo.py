"""Import every file of the zoo (tests/export/zoo), and count what comes of it.

python benchmarks/correctness/zoo.py run NOW.json          # PYTHONPATH decides which version does it
python benchmarks/correctness/zoo.py table BEFORE.json NOW.json
"""

import json
import re
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from lesionwise.bundle.engine import load_model
from lesionwise.export.foreign import Conventions, import_model
from lesionwise.labels import CODES

ZOO = Path(__file__).resolve().parents[2] / "tests/export/zoo"
TOLERANCE = 1e-4
OUTCOMES = ("imported to 1e-4", "refused with the reason", "refused without it", "wrong")


def notes() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for tool in ("tensorflow", "keras", "torch"):
        found |= json.loads((ZOO / f"{tool}.json").read_text(encoding="utf-8"))
    return found


def outcome(name: str, note: dict[str, Any], out: Path) -> tuple[str, str]:
    """Return one of `OUTCOMES`, and the difference or the message."""
    known = ("gives", "divide", "mean", "std", "channels", "size", "recipe")
    fields = {key: note[key] for key in known if key in note}
    fields |= {key: tuple(fields[key]) for key in ("mean", "std", "size") if key in fields}
    try:
        import_model(ZOO / name, out, Conventions(classes=CODES, **fields), name="zoo")
    except Exception as error:  # noqa: BLE001 (whatever it is, it is counted)
        words = str(error).replace(f"{ZOO}/", "").replace(f"{out}: ", "")
        fits = "refused" in note and re.search(note["refused"], words, re.DOTALL)
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
    difference = float(np.abs(found - answers).max())
    return OUTCOMES[0 if difference < TOLERANCE else 3], f"{difference:.1e}"


def run(target: Path) -> None:
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, note in notes().items():
            found[name] = outcome(name, note, Path(folder, "out.onnx"))
            print(name, *found[name], flush=True)
    target.write_text(json.dumps(found, indent=1), encoding="utf-8")


def table(before: Path, now: Path) -> None:
    old, new = (json.loads(path.read_text(encoding="utf-8")) for path in (before, now))
    print("| outcome | before | now |\n|---|---|---|")
    counts = [Counter(what for what, _ in each.values()) for each in (old, new)]
    for what in OUTCOMES:
        print(f"| {what} | {counts[0][what]} | {counts[1][what]} |")
    print("\n| file | made by | before | now | difference, or message, now |\n|---|---|---|---|---|")
    for name, note in notes().items():
        print(f"| {name} | {note['tool']} | {old[name][0]} | {' | '.join(new[name])} |")


if __name__ == "__main__":
    {"run": run, "table": table}[sys.argv[1]](*map(Path, sys.argv[2:]))
