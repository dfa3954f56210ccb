"""A classifier of scikit-learn on features of your own, judged without a leak.

    python examples/scikit_learn.py DIR

`DIR` is a data folder. The features here are simple: mean and spread of the colours in the middle and of all.
Replace `describe` with your own. Cells start at `# %%`.
"""

# %% The data, and which photographs show the same lesion
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import cross_val_predict

from lesionwise import LesionKFold, evaluate, lesion_groups, read_dataset

data = read_dataset(sys.argv[1])
groups = lesion_groups(data.table)
print(f"{len(data.table)} images of {len(set(groups))} lesions")


# %% Features of each image
def describe(path: Path) -> np.ndarray:
    """Return twelve numbers for an image: mean and spread of each colour, in the middle and of the whole."""
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB").resize((60, 45)), float)
    parts = (pixels[11:34, 15:45], pixels)
    return np.concatenate([np.r_[part.mean((0, 1)), part.std((0, 1))] for part in parts])


features = np.stack([describe(path) for path in data.paths])

# %% Predict each lesion by a model that has not seen it
forest = RandomForestClassifier(200, class_weight="balanced", random_state=0)
splits = LesionKFold(5, random_state=0)
y_prob = cross_val_predict(forest, features, data.y, groups=groups, cv=splits, method="predict_proba")

# %% Score, with intervals over lesions
found = evaluate(data.y, y_prob, groups)
for name in ("balanced_accuracy", "accuracy", "macro_auc"):
    print(f"{name:18} {found.overall[name]}   always the commonest: {found.baseline[name]:.3f}")
