#!/bin/sh
# usearch: an index of 32-bit vectors keeps 16 bits of them, and an "exact" search is exact for those.
#
# guess     `Index(ndim=64)` stores what it is given, and `search(exact=True)` returns the neighbours that a loop in NumPy returns.
# versions  usearch 2.26.6, numpy 2.4.6, Python 3.11 (on a processor with bf16; elsewhere the default may be another type)
# behaviour Without `dtype`, the index chooses bf16 (8 bits of precision) and says so only in `index.dtype`. Among 5,000 unit vectors, the
#           five nearest differ from NumPy's, in members or in order, for 5 % of the queries, with `exact=True`. A vector is still at
#           distance 0 from itself. With `dtype="f32"` they are the same. No error, no warning.
# exit      0 as described; 1 if 32 bits are kept
set -eu
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check usearch==2.26.6 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
from usearch.index import Index

chance = np.random.default_rng(0)
vectors = chance.normal(size=(5000, 64)).astype(np.float32)
vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
queries = vectors[:500] + 0.03 * chance.normal(size=(500, 64)).astype(np.float32)
distances = ((queries[:, None].astype(float) - vectors[None]) ** 2).sum(axis=2)
nearest = np.argsort(distances, axis=1)[:, :5]
differ = {}
for name, options in (("default", {}), ("f32", {"dtype": "f32"})):
    index = Index(ndim=64, metric="l2sq", **options)
    index.add(np.arange(5000), vectors)
    found = index.search(queries, 5, exact=True).keys
    differ[name] = float((found != nearest).any(axis=1).mean())
    print(f"{name}: stored as {index.dtype}; five nearest unlike NumPy's for {differ[name]:.1%} of the queries")
sys.exit(0 if differ["default"] > 0.01 and differ["f32"] == 0 else 1)
PYTHON
