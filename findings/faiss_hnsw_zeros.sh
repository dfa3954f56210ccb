#!/bin/sh
# faiss: rows of zeros in an HNSW index hide the other rows.
#
# guess     IndexHNSWFlat finds a vector that it holds nine times of ten or more, whatever else it holds. Pictures without an
#           embedding, which are kept as zeros so that row numbers stay right, are merely far from everything.
# versions  faiss-cpu 1.15.1, numpy 2.4.6, Python 3.11
# behaviour 5,000 rows of 64 normal values: 98 % of the rows are found as their own nearest. With 500 of them set to zeros, .3 % of the
#           others are. Zeros lie nearer to each row than most rows do, so the searches end among them. If the 500 repeat an
#           ordinary vector, 90 % are found, and an exact index finds all. No error and no warning.
# exit      0 as described; 1 if the rows are found
set -eu
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check faiss-cpu==1.15.1 numpy==2.4.6
cd "$folder"
OMP_NUM_THREADS=1 "$folder/venv/bin/python" -W error - <<'PYTHON'
import sys

import faiss
import numpy as np

rng = np.random.default_rng(0)
rows = rng.normal(size=(5000, 64)).astype(np.float32)
places = rng.permutation(5000)
repeated, asked = places[:500], places[500:1500]
found = {}
for name, value in (("different rows", rows[repeated]), ("one row 500 times", rows[places[0]]), ("500 rows of zeros", 0.0)):
    held = rows.copy()
    held[repeated] = value
    for index in (faiss.IndexHNSWFlat(64, 16), faiss.IndexFlatL2(64)):
        index.add(held)
        if isinstance(index, faiss.IndexHNSW):
            index.hnsw.efSearch = 50
        kind = type(index).__name__
        found[name, kind] = float((index.search(held[asked], 1)[1][:, 0] == asked).mean())
        print(f"{name}, {kind}: {found[name, kind]:.1%} of 1,000 other rows find themselves")
zeros = found.pop(("500 rows of zeros", "IndexHNSWFlat"))
sys.exit(0 if zeros < 0.2 and min(found.values()) > 0.85 else 1)
PYTHON
