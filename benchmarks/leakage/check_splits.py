"""The share of test images that is tainted in splits by image.

python benchmarks/leakage/check_splits.py
"""

import numpy as np
from sklearn.model_selection import train_test_split

from lesionwise.data.known_lesions import known_lesions
from lesionwise.labels import CODES
from lesionwise.split.check import check_split, describe_check

SEEDS = 100


def main() -> None:
    table = known_lesions()
    ids = table["image_id"]
    train, test = train_test_split(ids, test_size=0.2, random_state=1234)
    print(describe_check(check_split(list(train), list(test), table)), "\n")

    shares = []
    for seed in range(SEEDS):
        train, test = train_test_split(ids, test_size=0.2, random_state=seed)
        check = check_split(list(train), list(test), table)
        shares.append([check.share, *(check.by_class[code].share for code in CODES)])
    print(f"| over {SEEDS} seeds | tainted, mean | lowest | highest |\n|---|---|---|---|")
    for name, column in zip(("all", *CODES), np.array(shares).T, strict=True):
        print(f"| {name} | {column.mean():.1%} | {column.min():.1%} | {column.max():.1%} |")


if __name__ == "__main__":
    main()
