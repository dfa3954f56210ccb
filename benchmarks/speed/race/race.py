"""`seed-cnn` here and in Keras, in turn in one run.

    python benchmarks/speed/race/race.py DIR SPLIT KERAS_PYTHON [ROUNDS]

KERAS_PYTHON is the interpreter of an environment with TensorFlow; see `keras_seed_cnn.py`. Every program runs
alone, trains two epochs with batches of ten (Keras 2,000 images of the train part, we all 6,287), and is
timed on the second.
"""

import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd

KERAS = Path(__file__).with_name("keras_seed_cnn.py")
OPPONENTS = {
    "Keras float32, ImageDataGenerator": ("float32", "augment"),
    "Keras float32, no augmentation": ("float32",),
    "Keras mixed_bfloat16, ImageDataGenerator": ("mixed_bfloat16", "augment"),
    "Keras mixed_bfloat16, no augmentation": ("mixed_bfloat16",),
}


def ours(folder: str, split: str) -> float:
    with tempfile.TemporaryDirectory() as out:
        run = Path(out) / "run"
        command = [
            "train",
            "seed-cnn",
            "--data",
            folder,
            "--split",
            split,
            "--out",
            str(run),
            "--set",
            "epochs=2",
        ]
        subprocess.run(
            [sys.executable, "-m", "lesionwise", *command, "--quiet"], check=True, capture_output=True
        )
        return float(pd.read_csv(run / "history.csv")["images_per_second"].iloc[1])


def theirs(python: str, folder: str, split: str, options: tuple[str, ...]) -> float:
    command = [python, str(KERAS), folder, split, *options]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def main(folder: str, split: str, python: str, rounds: int) -> None:
    speeds: dict[str, list[float]] = {"lesionwise, augmented": [], **{name: [] for name in OPPONENTS}}
    for _ in range(rounds):
        speeds["lesionwise, augmented"].append(ours(folder, split))
        for name, options in OPPONENTS.items():
            speeds[name].append(theirs(python, folder, split, options))
        print({name: round(values[-1]) for name, values in speeds.items()}, flush=True)
    own = speeds["lesionwise, augmented"]
    for name, values in speeds.items():
        ratio = statistics.median(mine / other for mine, other in zip(own, values, strict=True))
        print(f"{name:42} {statistics.median(values):6.0f} images/s   we are {ratio:.2f} times as fast")


if __name__ == "__main__":
    folder, split, python, *rounds = sys.argv[1:]
    main(folder, split, python, int(rounds[0]) if rounds else 3)
