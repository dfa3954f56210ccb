"""State anew what part of each diagnosis a finished bundle accepts; weights, score and cut-off stay.

    OMP_NUM_THREADS=1 python benchmarks/accuracy/restate_acceptance.py BUNDLE DATA OUT

DATA holds HAM10000. All of `cal` is scored, and all of it once more as other cameras have it. The score was
not learnt from these cameras. The cut-offs by which each diagnosis is judged come from other lesions.
"""

import sys
from pathlib import Path

import numpy as np
import onnx

from lesionwise.bundle.description import Accepted
from lesionwise.bundle.engine import Engine
from lesionwise.bundle.load import assemble, read_bundle, write_bundle
from lesionwise.data.dataset import read_dataset
from lesionwise.data.foreign import change_camera
from lesionwise.evaluation.rejection import accepted_out_of_fold, rejecting_cutoff
from lesionwise.export.graph import without_traces
from lesionwise.labels import CODES, INDEX
from lesionwise.split.split_file import read_split

SPLIT = Path(__file__).parents[1] / "reference_split.csv"
CAMERAS = 3  # the seed of `cal` in `lesionwise.training.rejection`
BATCH = 8


def main() -> None:
    source, data, out = sys.argv[1:]
    engine = Engine(read_bundle(source), threads=1)
    dataset, frame = read_dataset(data), read_split(SPLIT).frame.set_index("image_id")
    cal = sorted(frame.index[frame["part"] == "cal"])
    place = {image_id: row for row, image_id in enumerate(dataset.table["image_id"])}
    rows = [place[image_id] for image_id in cal]
    classes = np.array([INDEX[code] for code in dataset.table["dx"].iloc[rows]])
    groups = frame.loc[cal, "group"].to_numpy()
    plain, changed = [], []
    for start in range(0, len(rows), BATCH):
        images = [engine.read(dataset.paths[row]) for row in rows[start : start + BATCH]]
        others = [
            change_camera(image, np.random.default_rng([CAMERAS, start + number]))
            for number, image in enumerate(images)
        ]
        plain.append(engine.run(np.stack(images))["ood_score"])
        changed.append(engine.run(np.stack(others))["ood_score"])
        if start % 200 == 0:
            print(f"{start + len(images)} of {len(rows)}", flush=True)
    score, by_camera = np.concatenate(plain), np.concatenate(changed)
    cutoff = engine.description.ood_cutoff
    accepted = accepted_out_of_fold(score, classes, by_camera, groups)
    print(f"{engine.description.name}: the rule's cut-off {rejecting_cutoff(score, classes, by_camera):.4f}")
    passed, by_camera_passed = score < cutoff, by_camera < cutoff
    print(f"cut-off {cutoff:.4f}: of cal pass {passed.mean():.4f}, changed {by_camera_passed.mean():.4f}")
    for code in CODES:
        own, before = classes == INDEX[code], engine.description.ood_accepted[code]
        found = accepted[code]
        print(
            f"{code}: {found.part:.3f} of {found.images} out of fold (stated before: {before.part:.3f}); "
            f"pass {passed[own].mean():.3f}, changed {by_camera_passed[own].mean():.3f}"
        )
    stated = {code: Accepted(images=kept.images, part=kept.part) for code, kept in accepted.items()}
    description = engine.description.model_copy(update={"ood_accepted": stated})
    graph = without_traces(onnx.load_from_string(engine.bundle.content))
    write_bundle(assemble(graph, description, Path(out)))


if __name__ == "__main__":
    main()
