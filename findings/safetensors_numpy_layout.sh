#!/bin/sh
# safetensors: an array of NumPy that is a view (transposed, every second column, reversed) is read back with its values in other places.
#
# guess     What `save_file` wrote, `load_file` returns: NumPy itself saves every view by its values, and the function for PyTorch refuses
#           a tensor that is not contiguous.
# versions  safetensors 0.8.0, numpy 2.4.6, Python 3.11
# behaviour The memory of the array is written in the order in which it lies there, under the shape of the view. A transposed matrix comes
#           back with the right shape and the wrong values: the usual step from a Keras kernel to one of PyTorch. So does a picture
#           turned upside down by slicing. `numpy.save` keeps them. The docstring asks for contiguous arrays; nothing checks it.
#           No error, no warning.
# exit      0 as described; 1 if the values come back, or the views are refused
set -eu
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check safetensors==0.8.0 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
from safetensors.numpy import load_file, save_file

kernel = np.arange(12, dtype=np.float32).reshape(3, 4)
views = {
    "as it is": kernel,
    "transposed": kernel.T,
    "upside down": kernel[::-1],
    "every second column": kernel[:, ::2],
    "in the order of Fortran": np.asfortranarray(kernel),
}
kept = {}
for name, view in views.items():
    save_file({"kernel": view}, "weights.safetensors")
    np.save("weights.npy", view)
    found = load_file("weights.safetensors")["kernel"]
    kept[name] = np.array_equal(found, view)
    npy = np.array_equal(np.load("weights.npy"), view)
    print(f"{name}: shape {found.shape} for {view.shape}; values kept: safetensors {kept[name]}, numpy {npy}")
sys.exit(0 if kept.pop("as it is") and not any(kept.values()) else 1)
PYTHON
