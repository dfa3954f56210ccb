"""What a split by image adds to the score of notebooks' networks: all test images against the clean rest.

python benchmarks/leakage/notebook_networks.py

The predictions are those of runs under `benchmarks/runs` that were trained and tested by image, as notebooks
are. The training list is made again from the seed, and the referee of `lesionwise check` judges it.
"""

from pathlib import Path

import numpy as np

from lesionwise.data.known_lesions import known_lesions
from lesionwise.evaluation.predictions import read_predictions
from lesionwise.labels import INDEX
from lesionwise.split.assign import FOLDS, deal, deal_held_out
from lesionwise.split.check import check_split

RUNS = Path(__file__).parent.parent / "runs"
NAMES = ("seed-mlp", "seed-cnn", "seed-cnn-256", "seed-vgg16", "probe", "small", "mobilenetv2", "best")
SEED = 0


def main() -> None:
    known = known_lesions()
    ids = known["image_id"].to_numpy(str)
    y = known["dx"].map(INDEX).to_numpy(np.int64)
    _, part = deal(y, ids, FOLDS, ("test",), seed=SEED)
    rest = np.flatnonzero(part != "test")
    part[rest] = deal_held_out(y[rest], ids[rest], seed=SEED)
    train, test = ids[part == "train"].tolist(), ids[part == "test"].tolist()
    print("| recipe | tainted | accuracy, all | clean rest | balanced accuracy, all | clean rest |")
    print("|---|---|---|---|---|---|")
    for name in NAMES:
        predictions = read_predictions(RUNS / f"{name}-image" / "predictions-test.csv")
        if sorted(predictions.image_id) != sorted(test):
            raise ValueError(f"{name}: expected the test images of seed {SEED}.")
        found = check_split(train, test, known, predictions=predictions)
        scores = [
            str(found.scores[images].overall[score])
            for score in ("accuracy", "balanced_accuracy")
            for images in ("all", "clean")
        ]
        print(f"| {name} | {found.share:.1%} | {' | '.join(scores)} |")
    print(f"\n{found.test_images:,} test images, {found.scores['clean'].images:,} of them in the clean rest")


if __name__ == "__main__":
    main()
