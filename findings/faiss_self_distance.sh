#!/bin/sh
# faiss: the distance of a vector to itself is 0 with 19 queries in a call, and above 0 with 1,000.
#
# guess     An exact index gives the distance 0 for a vector that it holds, however many vectors are asked for at once.
# versions  faiss-cpu 1.15.1, numpy 2.4.6, Python 3.11 (CPU)
# behaviour With many queries in a call (1,000 here), `IndexFlatL2` computes |x|² + |y|² - 2xy instead of |x - y|². In 32 bits the difference of large numbers is not
#           exact: for features with a mean of 3, self-distances of up to .006 appear; with a mean of 30, of up to .5, and more
#           than the distance to a copy with noise of .01. Whoever looks for identical pictures by `distance == 0`
#           finds them one at a time and misses some of them together. No error, no warning.
# exit      0 as described; 1 if the number of queries plays no role
set -eu
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check faiss-cpu==1.15.1 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import faiss
import numpy as np

chance = np.random.default_rng(0)
found = {}
for mean in (3, 30):
    features = (chance.normal(size=(1000, 512)) + mean).astype(np.float32)
    index = faiss.IndexFlatL2(512)
    index.add(features)
    for number in (1, 19, 1000):
        parts = [index.search(features[start : start + number], 1)[0] for start in range(0, 1000, number)]
        itself = np.concatenate(parts)[:, 0]
        found[mean, number] = int((itself > 0).sum()), float(itself.max())
        print(f"mean {mean}, {number} in a call: {found[mean, number][0]} of 1000 are not at 0, the largest at {itself.max():.4f}")
near = float(((features[:100] - (features[:100] + chance.normal(size=(100, 512)) / 100).astype(np.float32)) ** 2).sum(axis=1).mean())
print(f"mean distance to a copy with noise of .01: {near:.4f}")
alone = [found[mean, number][0] for mean in (3, 30) for number in (1,)]
together = [found[mean, 1000][0] for mean in (3, 30)]
sys.exit(0 if alone == [0, 0] and all(number > 10 for number in together) else 1)
PYTHON
