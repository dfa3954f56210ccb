"""What a second look, at the mirror image, is worth if only near ties get it; the table of second_look_*.md.

    OMP_NUM_THREADS=1 python benchmarks/search/second_look.py DATA best

DATA is the folder of HAM10000; `cal` of the reference split is asked about. A near tie is an image whose two
largest logits differ by less than a limit. They are averaged with those of its mirror image: by halves
("hard"), or with a weight that falls to zero from half of the limit on ("falling"), as
`lesionwise.bundle.second_look` does it. Printed are the part that is looked at twice, the part of the images
whose diagnosis changes with harmless changes of the image, and scores after a temperature.
"""

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from lesionwise.bundle.engine import load_model
from lesionwise.bundle.second_look import mirror_weight
from lesionwise.data.dataset import read_dataset
from lesionwise.data.images import open_image
from lesionwise.data.perturbations import SAVED, change, perturb
from lesionwise.evaluation.calibration.scaling import fit_temperature
from lesionwise.evaluation.scores.decision import accuracy_score, balanced_accuracy_score
from lesionwise.labels import INDEX
from lesionwise.split.split_file import read_split

SPLIT = Path(__file__).parents[1] / "reference_split.csv"
CHANGES = ("mirrored", "1 pixel", "JPEG 90", "noise 2", "turned 180")
RULES = (("hard", 0.5), ("hard", 1.0), ("hard", 1.6), ("falling", 1.0), ("falling", 1.2), ("falling", 1.5))
FILE, PIXELS, BLURRED = "file", "pixels", "blurred"
Floats = NDArray[np.float64]


def ask(folder: Path, name: str) -> tuple[NDArray[np.int64], NDArray[np.str_], dict[str, Floats]]:
    """Return classes (N,), lesions (N,), and the logits (N, 2, C) of both looks for each way of an image."""
    engine, dataset, frame = load_model(name, threads=1), read_dataset(folder), read_split(SPLIT).frame
    wanted = set(frame["image_id"][frame["part"] == "cal"])
    rows = np.flatnonzero([image in wanted for image in dataset.table["image_id"]])
    known = engine.encode(engine.known(dataset, rows) or [])
    found: dict[str, list[Floats]] = {way: [] for way in (FILE, PIXELS, *CHANGES, BLURRED)}
    for place, row in enumerate(rows):
        with open_image(dataset.paths[row]) as opened:
            width, height = opened.upright_sides
            pixels = opened.read((height, width))
        image = str(dataset.table["image_id"].iloc[row])
        seen = [engine.read(dataset.paths[row]), engine.read(pixels)]
        seen += [engine.read(change(pixels, name, image_id=image)) for name in CHANGES]
        seen.append(perturb(seen[0], "blur", 1, image_id=image))
        both = np.stack([*seen, *(view[:, ::-1] for view in seen)])
        metadata = None if known is None else np.repeat(known[place : place + 1], len(both), axis=0)
        logits = engine.look(both, metadata)["logits"].astype(float).reshape(2, len(seen), -1)
        for index, way in enumerate(found):
            found[way].append(logits[:, index])
    table = dataset.table.iloc[rows]
    y_true = np.array([INDEX[code] for code in table["dx"]])
    return y_true, table["lesion_id"].to_numpy(str), {way: np.stack(each) for way, each in found.items()}


def mean(looks: Floats, rule: str, limit: float) -> Floats:
    """Return the logits (N, C) by a rule."""
    weight = mirror_weight(looks[:, 0], limit)
    share = np.where(weight > 0, 0.5, 0) if rule == "hard" else weight
    return np.asarray(looks[:, 0] + share[:, None] * (looks[:, 1] - looks[:, 0]))


def main(folder: str, name: str) -> None:
    y_true, group, looks = ask(Path(folder), name)
    for rule, limit in (("once", 1e-9), *RULES, ("hard", 1e9)):
        logits = {way: mean(each, rule, limit) for way, each in looks.items()}
        fit = fit_temperature(y_true, logits[FILE], group)
        prob = fit.probabilities(logits[FILE])
        top = {way: each.argmax(1) for way, each in logits.items()}
        changed = [
            f"{way} {(top[FILE if way in SAVED else PIXELS] != top[way]).mean():.1%}" for way in CHANGES
        ]
        loss = -np.log(prob[np.arange(len(y_true)), y_true]).mean()
        melanoma = roc_auc_score(y_true == INDEX["mel"], prob[:, INDEX["mel"]])
        blurred = balanced_accuracy_score(y_true, fit.probabilities(logits[BLURRED]))
        print(
            f"{rule} {limit:g}: {(mirror_weight(looks[FILE][:, 0], limit) > 0).mean():.1%} looked at twice; "
            f"changed: {', '.join(changed)}; balanced accuracy {balanced_accuracy_score(y_true, prob):.3f}, "
            f"blurred {blurred:.3f}, accuracy {accuracy_score(y_true, prob):.3f}, log loss {loss:.3f}, "
            f"melanoma AUC {melanoma:.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
