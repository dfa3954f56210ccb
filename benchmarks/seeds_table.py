"""The table of what `seeds.sh` trained.

python benchmarks/seeds_table.py OUT
"""

import json
import sys
from pathlib import Path

SPLITS = {
    "lesion": "lesions apart",
    "image": "images apart (leaks)",
    "resampled": "resampled to 500 a class, then images apart (leaks)",
}
SCORES = ("accuracy", "balanced_accuracy", "macro_f1", "macro_auc")


def cell(score: dict[str, float]) -> str:
    return f"{score['value']:.3f} ({score['low']:.3f} to {score['high']:.3f})"


def main(out: Path) -> None:
    print(
        "| recipe | split | test images | "
        + " | ".join(name.replace("_", " ") for name in SCORES)
        + " | training |"
    )
    print("|" + "---|" * (len(SCORES) + 4))
    for recipe in ("seed-mlp", "seed-cnn-256", "seed-cnn"):
        for split, words in SPLITS.items():
            run = out / f"{recipe}-{split}"
            if not (run / "report.html").exists():
                continue
            test = json.loads((run / "scores.json").read_text())["parts"]["test"]
            minutes = json.loads((run / "timing.json").read_text())["train"]["seconds"] / 60
            scores = " | ".join(cell(test["overall"][name]) for name in SCORES)
            print(f"| `{recipe}` | {words} | {test['images']} | {scores} | {minutes:.0f} min |")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
