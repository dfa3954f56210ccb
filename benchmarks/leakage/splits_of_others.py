"""How much of the test sets of usual notebook splits is tainted.

python benchmarks/leakage/splits_of_others.py HAM10000_metadata.csv

The splits are those of scikit-learn's `train_test_split` on the rows of the metadata in their own order, with
usual seeds and sizes; each is given to the referee of `lesionwise check`.
"""

import sys
from importlib.metadata import version

import pandas as pd
from sklearn.model_selection import train_test_split

from lesionwise.data.known_lesions import known_lesions
from lesionwise.split.check import check_split

SEEDS = (0, 42, 101, 123, 1234)
SIZES = (0.2, 0.25)


def main() -> None:
    table = pd.read_csv(sys.argv[1], dtype=str)
    print(f"scikit-learn {version('scikit-learn')}, {len(table)} rows")
    print("| test_size | random_state | stratify | test images | tainted | of melanomas |")
    print("|---|---|---|---|---|---|")
    for size in SIZES:
        for seed in SEEDS:
            for stratify in (False, True):
                train, test = train_test_split(
                    table["image_id"],
                    test_size=size,
                    random_state=seed,
                    stratify=table["dx"] if stratify else None,
                )
                found = check_split(train.tolist(), test.tolist(), known_lesions())
                by_dx = "dx" if stratify else "none"
                melanomas = found.by_class["mel"].share
                counts = f"{found.test_images:,} | {found.share:.1%} | {melanomas:.1%}"
                print(f"| {size} | {seed} | {by_dx} | {counts} |")


if __name__ == "__main__":
    main()
