"""For a class: what happens if photographs of one lesion are on both sides of a split.

    python examples/leak.py DIR

`DIR` is a data folder. One classifier, a forest on the colours of each image, is judged twice: on images that
were dealt out at random, as many notebooks do, and on lesions that it has not seen. It can recognise a lesion
by its colours, so part of what the first way claims is memory. On 133 phantoms of 84 lesions the balanced
accuracy is 0.456 the first way and 0.347 the second. Cells start at `# %%`.
"""

# %% The data, and which photographs show the same lesion
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from lesionwise import LesionKFold, evaluate, lesion_groups, read_dataset

data = read_dataset(sys.argv[1])
groups = lesion_groups(data.table)
repeated = len(data.table) - len(set(groups))
print(f"{len(data.table)} images of {len(set(groups))} lesions: {repeated} photographs repeat a lesion.")


# %% The colours of an image, whatever its turn and its light
def describe(path: Path) -> np.ndarray:
    """Return the hue of lesion and skin, and how much darker than the skin parts of the lesion are."""
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB").resize((60, 45)), float) + 1
    skin = np.concatenate([pixels[:6], pixels[-6:]]).reshape(-1, 3)
    lesion = pixels[11:34, 15:45].reshape(-1, 3)
    hues = [(part / part.sum(axis=1, keepdims=True)).mean(axis=0) for part in (skin, lesion)]
    darker = np.percentile(lesion.sum(axis=1) / skin.sum(axis=1).mean(), [5, 25, 50, 75, 95])
    return np.concatenate([*hues, darker])


features = np.stack([describe(path) for path in data.paths])
forest = ExtraTreesClassifier(200, random_state=0)

# %% The same classifier, judged in two ways
random_split, by_lesion = StratifiedKFold(5, shuffle=True, random_state=0), LesionKFold(5, random_state=0)
leaky = cross_val_predict(forest, features, data.y, cv=random_split, method="predict_proba")
honest = cross_val_predict(forest, features, data.y, groups=groups, cv=by_lesion, method="predict_proba")
for title, y_prob in (("images dealt at random (leaks)", leaky), ("lesions kept together", honest)):
    found = evaluate(data.y, y_prob, groups)
    print(f"{title:31} balanced accuracy {found.overall['balanced_accuracy']}")

# %% Where the difference comes from: test images with another photograph of their lesion in training
met = np.zeros(len(data.y), bool)
for train, test in random_split.split(features, data.y):
    met[test] = np.isin(groups[test], groups[train])
for title, chosen in (("lesion seen in training", met), ("lesion never seen", ~met)):
    right = [(y_prob.argmax(axis=1) == data.y)[chosen].mean() for y_prob in (leaky, honest)]
    print(f"{title:24} {chosen.sum():5} images: right {right[0]:.3f} at random, {right[1]:.3f} by lesion")
print("The difference is the leak. On new patients, only the score by lesion holds.")
