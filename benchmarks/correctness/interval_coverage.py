"""Coverage of the 95 % intervals on simulated models; prints the tables of interval_coverage_*.md.

OMP_NUM_THREADS=1 python benchmarks/correctness/interval_coverage.py [trials]
"""

import sys
from pathlib import Path
from time import perf_counter

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))

from evaluation.coverage import HAM10000_VAL, Model, coverage

MODELS = {"calibrated": Model(), "too sure": Model(sharpness=2.0), "weak and too sure": Model(1.2, 1.5)}
SIZES = {
    "the size of HAM10000's val": (HAM10000_VAL, 1),
    "four times that": (
        {code: 4 * count for code, count in HAM10000_VAL.items()},
        3,
    ),  # a third of the samples
}


def main() -> None:
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    for size, (lesions, share) in SIZES.items():
        trials = wanted // share
        for name, model in MODELS.items():
            started = perf_counter()
            found = coverage(model, lesions, trials=trials)
            print(f"\n## {name}, {size} ({sum(lesions.values())} lesions), {trials} samples, "
                  f"{perf_counter() - started:.0f} s\n", flush=True)  # fmt: skip
            print("| score | of | truth | mean value | mean width | covered |\n|---|---|---|---|---|---|")
            for row in found.itertuples():
                if row.diagnosis in {"all", "mel", "df"}:
                    print(f"| {row.score} | {row.diagnosis} | {row.truth:.3f} | {row.mean_value:.3f} "
                          f"| {row.mean_width:.3f} | {row.covered:.3f} |")  # fmt: skip


if __name__ == "__main__":
    main()
