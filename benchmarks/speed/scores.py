"""Time of all scores with their intervals.

OMP_NUM_THREADS=1 python benchmarks/speed/scores.py [METADATA.csv | million | command [million]]

10,015 simulated predictions in HAM10000's proportions (or for its own table, or a million of them), 2,000
lesion resamples. With `command`, `lesionwise evaluate` is timed on a CSV of them, from its start to its end.
"""

import os
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage
from time import perf_counter, process_time

import numpy as np
import pandas as pd

from lesionwise.evaluation.predictions import Predictions, write_predictions
from lesionwise.evaluation.scores.bootstrap import RESAMPLES
from lesionwise.evaluation.scores.evaluate import OVERALL, PER_CLASS, evaluate
from lesionwise.labels import INDEX

ROUNDS = 3
LESIONS = {"akiec": 228, "bcc": 327, "bkl": 727, "df": 73, "mel": 614, "nv": 5403, "vasc": 98}
IMAGES = 10_015


def main() -> None:
    rng = np.random.default_rng(0)
    times = 100 if "million" in sys.argv[1:] else 1
    if len(sys.argv) > 1 and sys.argv[1] not in {"million", "command"}:
        table = pd.read_csv(sys.argv[1])
        y_true, groups = table["dx"].map(INDEX).to_numpy(), table["lesion_id"].to_numpy()
    else:
        diagnosis = np.repeat(
            [INDEX[code] for code in LESIONS], [times * count for count in LESIONS.values()]
        )
        groups = np.concatenate(
            [np.arange(len(diagnosis)), rng.integers(len(diagnosis), size=times * IMAGES - len(diagnosis))]
        )
        y_true = diagnosis[groups]
    odds = np.exp(rng.normal(size=(len(y_true), 7)) + 2 * np.eye(7)[y_true])
    y_prob = odds / odds.sum(axis=1, keepdims=True)
    print(f"{len(y_true)} images, {RESAMPLES} resamples, numpy {version('numpy')}, scipy {version('scipy')}")
    if "command" in sys.argv[1:]:
        time_command(Predictions(np.arange(len(y_true)).astype(str), y_prob, y_true, groups.astype(str)))
        return
    for _ in range(1 if times > 1 else ROUNDS):
        started, worked = perf_counter(), process_time()
        evaluate(y_true, y_prob, groups)
        print(
            f"evaluate, all {len(OVERALL) + 7 * len(PER_CLASS)} scores: {perf_counter() - started:.2f} s, of "
            f"which the processor worked {process_time() - worked:.2f} s; load {os.getloadavg()[0]:.1f}"
        )
    print(f"peak memory {getrusage(RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")


def time_command(predictions: Predictions) -> None:
    """Print the time of `lesionwise evaluate` on a CSV, imports and reading included."""
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder, "predictions.csv")
        write_predictions(predictions, table)
        for _ in range(ROUNDS if len(predictions.image_id) == IMAGES else 1):
            started, before = perf_counter(), getrusage(RUSAGE_CHILDREN)
            command = [sys.executable, "-m", "lesionwise", "evaluate", str(table), "--quiet"]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            after = getrusage(RUSAGE_CHILDREN)
            worked = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            print(
                f"lesionwise evaluate: {perf_counter() - started:.2f} s, of which the processor worked "
                f"{worked:.2f} s; load {os.getloadavg()[0]:.1f}"
            )
    print(f"peak memory {getrusage(RUSAGE_CHILDREN).ru_maxrss / 1e6:.2f} GB")


if __name__ == "__main__":
    main()
