#!/bin/sh
# puncc: the APS set of an image has at most as many classes as there are images in the call.
#
# guess     The set of an image depends on its own probabilities and on the limit; one call for all images and
#           one call for each give the same sets, or sets of the same size where a random number is drawn (the default).
# versions  puncc 0.9.3, numpy 1.26.4, scikit-learn 1.9.1, Python 3.11
# behaviour One call for 2,000 images gives sets of up to seven classes, which cover what was asked for. One call for each
#           image gives sets of at most one class, with the random number and without; calls of three images
#           give at most three classes. Half of the promised coverage is lost. No error and no warning.
# exit      0 as described; 1 if the sets no longer depend on the number of images
set -eu
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check puncc==0.9.3 numpy==1.26.4 scikit-learn==1.9.1
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import numpy as np
from deel.puncc.api.prediction import BasePredictor
from deel.puncc.classification import APS

CLASSES = 7


class Given(BasePredictor):
    def predict(self, X, **kwargs):
        return X


rng = np.random.default_rng(0)
prob = rng.dirichlet(np.full(CLASSES, 0.6), 4000)
truth = np.array([rng.choice(CLASSES, p=row) for row in prob])
cal, new = slice(0, 2000), slice(2000, 4000)


def sets(images: int, rand: bool) -> list[list[int]]:
    """Return the sets of all new images, from calls with so many of them."""
    np.random.seed(0)
    model = APS(Given(None, is_trained=True), train=False, rand=rand)
    model.fit(X_calib=prob[cal], y_calib=truth[cal])
    found = []
    for start in range(2000, 4000, images):
        found += model.predict(prob[start : start + images], alpha=0.2)[1]
    return [[int(place) for place in one] for one in found]


result = {}
for rand in (True, False):
    for images in (2000, 10, 3, 1):
        found = sets(images, rand)
        covered = float(np.mean([y in one for y, one in zip(truth[new], found, strict=True)]))
        result[rand, images] = covered, max(map(len, found))
        print(
            f"rand={rand}, {images} images in a call: covered {covered:.3f} where 0.8 was asked for; "
            f"largest set {result[rand, images][1]} classes"
        )
likeliest = float(np.mean(prob[new].argmax(axis=1) == truth[new]))
print(f"The likeliest class alone covers {likeliest:.3f}")
as_described = all(
    result[rand, 2000][0] > 0.78 and result[rand, 2000][1] > 3
    and result[rand, 3][1] == 3
    and result[rand, 1][1] == 1 and result[rand, 1][0] <= likeliest
    for rand in (True, False)
)
sys.exit(0 if as_described else 1)
PYTHON
