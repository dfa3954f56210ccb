"""Memory of `lesionwise predict` over the number of images: the peak of a process for each number.

    python benchmarks/speed/predict_memory.py FOLDER [NUMBER...]

FOLDER holds images. Each call gets a table with the first NUMBER of them, and a model that ships.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

NUMBERS = (500, 2000, 10_015)


def peak_mb(paths: list[Path], out: Path) -> float:
    """Return the most memory that predicting these images took."""
    table = out / "images.csv"
    table.write_text("\n".join(["path", *map(str, paths)]) + "\n", encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "lesionwise",
        "predict",
        str(table),
        "--out",
        str(out / "p.csv"),
        "--quiet",
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode or len((out / "p.csv").read_text(encoding="utf-8").splitlines()) != len(paths) + 1:
        sys.exit(f"predict failed with {process.returncode}")
    return used.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def main(folder: str, *numbers: int) -> None:
    paths = sorted(Path(folder).resolve().rglob("*.jpg"))
    print("| images | peak MB |\n|---|---|")
    for number in numbers or NUMBERS:
        with tempfile.TemporaryDirectory() as out:
            print(f"| {min(number, len(paths)):,} | {peak_mb(paths[:number], Path(out)):.0f} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
