"""Time and memory of `lesionwise evaluate` on a CSV of millions of simulated predictions.

python benchmarks/speed/many_rows.py FOLDER [ROWS]

The lesions are those of HAM10000, as often as it takes; each has one to three images.
"""

import os
import subprocess
import sys
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from time import perf_counter

import numpy as np
import pyarrow as pa
from pyarrow import csv

from lesionwise.evaluation.predictions import PROB_COLUMNS
from lesionwise.labels import CODES

LESIONS = {"akiec": 228, "bcc": 327, "bkl": 727, "df": 73, "mel": 614, "nv": 5403, "vasc": 98}
ROWS = 10_000_000
PART = 1_000_000


def main() -> None:
    rows = int(sys.argv[2]) if len(sys.argv) > 2 else ROWS  # noqa: PLR2004
    path = Path(sys.argv[1], f"predictions-{rows}.csv")
    if not path.is_file():
        write(path, rows)
    print(f"{rows} rows, {path.stat().st_size / 1e9:.2f} GB, load {os.getloadavg()[0]:.1f}", flush=True)
    started = perf_counter()
    command = [sys.executable, "-m", "lesionwise", "evaluate", str(path), "--out", str(path.with_suffix(""))]
    ended = subprocess.run([*command, "--quiet", "--force"], check=False).returncode
    used = getrusage(RUSAGE_CHILDREN)
    print(
        f"ended with {ended}; {perf_counter() - started:.0f} s, of which the processor worked "
        f"{used.ru_utime + used.ru_stime:.0f} s; peak memory {used.ru_maxrss / 1e6:.2f} GB"
    )


def write(path: Path, rows: int) -> None:
    rng = np.random.default_rng(0)
    share = np.array(list(LESIONS.values())) / sum(LESIONS.values())
    diagnosis = rng.choice(len(CODES), size=rows // 2, p=share[[list(LESIONS).index(code) for code in CODES]])
    schema = [("image_id", pa.string()), ("group", pa.string()), ("y_true", pa.string())]
    schema += [(name, pa.float64()) for name in PROB_COLUMNS]
    with csv.CSVWriter(path, pa.schema(schema)) as target:
        for start in range(0, rows, PART):
            place = np.arange(start, min(start + PART, rows))
            lesion = np.where(place < len(diagnosis), place, rng.integers(len(diagnosis), size=len(place)))
            odds = np.exp(rng.normal(size=(len(place), 7)) + 2 * np.eye(7)[diagnosis[lesion]])
            columns = [
                np.char.add("I", place.astype(str)),
                np.char.add("L", lesion.astype(str)),
                np.asarray(CODES)[diagnosis[lesion]],
                *np.round(odds / odds.sum(axis=1, keepdims=True), 6).T,
            ]
            target.write_table(pa.table([pa.array(each) for each in columns], schema=pa.schema(schema)))


if __name__ == "__main__":
    main()
