"""For a class: what happens if photographs of one lesion are on both sides of a split.

    python examples/leak.py DIR

`DIR` is a data folder. One classifier, the nearest neighbour of small grey thumbnails, is judged twice: on
images that were dealt out at random, as many notebooks do, and on lesions that it has not seen. It recognises
photographs and knows little about diseases, so nearly all that the first way gains is memory.
Cells start at `# %%`.
"""

# %% The data, and which photographs show the same lesion
import sys

import numpy as np
from PIL import Image
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from lesionwise import LesionKFold, evaluate, lesion_groups, read_dataset

data = read_dataset(sys.argv[1])
groups = lesion_groups(data.table)
repeated = len(data.table) - len(set(groups))
print(f"{len(data.table)} images of {len(set(groups))} lesions: {repeated} photographs repeat a lesion.")

# %% Thumbnails of 16 x 12 pixels
thumbnails = []
for path in data.paths:
    with Image.open(path) as image:
        thumbnails.append(np.asarray(image.convert("L").resize((16, 12)), float).ravel())
features = np.stack(thumbnails)
neighbour = make_pipeline(StandardScaler(), KNeighborsClassifier(1))

# %% The same classifier, judged in two ways
ways = {
    "images dealt at random (leaks)": (StratifiedKFold(5, shuffle=True, random_state=0), None),
    "lesions kept together": (LesionKFold(5, random_state=0), groups),
}
for title, (splits, kept_together) in ways.items():
    y_prob = cross_val_predict(
        neighbour, features, data.y, groups=kept_together, cv=splits, method="predict_proba"
    )
    found = evaluate(data.y, y_prob, groups)
    print(f"{title:31} balanced accuracy {found.overall['balanced_accuracy']}")
print("The difference is the leak. On new patients, only the second score holds.")
