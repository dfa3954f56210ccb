"""What a second look, at the mirror image, is worth if only close calls get it.

    OMP_NUM_THREADS=1 python benchmarks/search/second_look.py DATA best

DATA is the folder of HAM10000; every second image of `cal` of the reference split is asked about. A close
call is an image whose answer is within a margin, in log-odds, of another diagnosis, prediction set or
melanoma flag (`distance_to_change`). Its raw outputs are averaged with those of its mirror image. Printed
are the part that is looked at twice, the scores, and the part of the images whose diagnosis (and in brackets
diagnosis, decision or flag) changes with harmless changes of the image.
"""

import sys
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

from lesionwise.bundle.decide import decide, distance_to_change
from lesionwise.bundle.engine import load_model
from lesionwise.data.dataset import read_dataset
from lesionwise.data.images import open_image
from lesionwise.data.perturbations import SAVED, change
from lesionwise.evaluation.scores.decision import accuracy_score, balanced_accuracy_score
from lesionwise.labels import INDEX
from lesionwise.split.split_file import read_split

SPLIT = Path(__file__).parents[1] / "reference_split.csv"
CHANGES = ("JPEG 90", "noise 2", "1 pixel", "mirrored", "turned 180")
MARGINS = (0.0, 0.3, 0.5, 0.8, 1.2, np.inf)
FILE, PIXELS = "file", "pixels"


def ask(folder: Path, name: str) -> tuple[np.ndarray, dict[str, dict[str, np.ndarray]]]:
    """Return the classes (N,), and the outputs of both looks for each way of an image."""
    engine, dataset, frame = load_model(name, threads=1), read_dataset(folder), read_split(SPLIT).frame
    wanted = set(frame["image_id"][frame["part"] == "cal"])
    rows = np.flatnonzero([image in wanted for image in dataset.table["image_id"]])[::2]
    known = engine.encode(engine.known(dataset, rows) or [])
    found: dict[str, dict[str, list[np.ndarray]]] = {
        way: {"first": [], "second": [], "score": []} for way in (FILE, PIXELS, *CHANGES)
    }
    for place, row in enumerate(rows):
        with open_image(dataset.paths[row]) as opened:
            width, height = opened.upright_sides
            pixels = opened.read((height, width))
        image = dataset.table["image_id"].iloc[row]
        seen = [engine.read(dataset.paths[row]), engine.read(pixels)]
        seen += [engine.read(change(pixels, name, image_id=image)) for name in CHANGES]
        both = np.stack([*seen, *(view[:, ::-1] for view in seen)])
        metadata = None if known is None else np.repeat(known[place : place + 1], len(both), axis=0)
        outputs = engine.run(both, metadata)
        for index, way in enumerate(found):
            found[way]["first"].append(outputs["logits"][index])
            found[way]["second"].append(outputs["logits"][len(seen) + index])
            found[way]["score"].append(outputs["ood_score"][index])
    y_true = np.array([INDEX[code] for code in dataset.table.iloc[rows]["dx"]])
    return y_true, {way: {key: np.stack(part) for key, part in one.items()} for way, one in found.items()}


def main(folder: str, name: str) -> None:
    y_true, outputs = ask(Path(folder), name)
    description = load_model(name, threads=1).description
    if description.calibration is None:
        sys.exit(f"{name}: is not calibrated.")
    scale = description.calibration.probabilities
    for margin in MARGINS:
        prob, said, again = {}, {}, {}
        for way, one in outputs.items():
            first, both = scale(one["first"]), scale((one["first"] + one["second"]) / 2)
            again[way] = distance_to_change(description, first) < margin
            prob[way] = np.where(again[way][:, None], both, first)
            said[way] = decide(description, prob[way], one["score"])
        changed = []
        for way in CHANGES:
            before, after = said[FILE if way in SAVED else PIXELS], said[way]
            top = before.top != after.top
            flag = before.above_melanoma_threshold != after.above_melanoma_threshold
            whole = top | (before.decision != after.decision) | flag
            changed.append(f"{way} {top.mean():.1%} ({whole.mean():.1%})")
        own = prob[FILE]
        loss = -np.log(own[np.arange(len(y_true)), y_true]).mean()
        melanoma = roc_auc_score(y_true == INDEX["mel"], own[:, INDEX["mel"]])
        print(
            f"{name}, margin {margin}: {again[FILE].mean():.1%} looked at twice; balanced accuracy "
            f"{balanced_accuracy_score(y_true, own):.3f}, accuracy {accuracy_score(y_true, own):.3f}, "
            f"log loss {loss:.3f}, melanoma AUC {melanoma:.3f}; changed: {', '.join(changed)}"
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
