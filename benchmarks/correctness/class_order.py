"""How many labelled pictures does `bundle import --classes auto` need, and is the order it finds right?

    python benchmarks/correctness/class_order.py answers            # those kept in benchmarks/runs
    python benchmarks/correctness/class_order.py file HAM10000 OUT  # somebody else's file, and its pictures

`answers` draws labelled pictures many times, one of each lesion and as evenly over the diagnoses as there are
lesions. Putting the outputs into another order permutes the evidence and changes nothing else, which the five
usual orders confirm.

`file` writes `best` as a file that somebody else could have: no metadata, no calibration, its outputs in the
order of the notebooks' dictionary; and a folder with labelled pictures that `best` did not learn from.
"""

import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
from onnx import TensorProto, helper, numpy_helper

from lesionwise.bundle.load import read_bundle
from lesionwise.errors import BundleError
from lesionwise.evaluation.predictions import Predictions, read_predictions
from lesionwise.export.class_order import SURE, USUAL_ORDERS, find_order, verify_sure
from lesionwise.labels import CODES

HERE = Path(__file__).resolve().parents[1]
RUNS = {
    "best-averaged-lesion": "cal",
    "small-s0": "cal",
    "mobilenetv2-lesion": "test",
    "seed-cnn-256-lesion": "test",
    "seed-cnn-lesion": "test",
    "seed-mlp-lesion": "test",
}
PICTURES = (50, 100, 200)
DRAWS = 100


def drawn(lesions: pd.DataFrame, pictures: int, rng: np.random.Generator) -> pd.DataFrame:
    """Return pictures, one of each lesion, as evenly over the diagnoses as there are lesions."""
    shuffled = lesions.sample(frac=1, random_state=rng)
    turn = shuffled.groupby("truth").cumcount()
    return shuffled.loc[turn.sort_values(kind="stable").index[:pictures]]


def in_order(answers: Predictions, rows: np.ndarray, order: tuple[str, ...]) -> Predictions:
    """Return the answers for some pictures, as a file with another order of classes would give them."""
    columns = [CODES.index(code) for code in order]
    return replace(
        answers,
        image_id=answers.image_id[rows],
        y_prob=answers.y_prob[rows][:, columns],
        y_true=answers.y_true[rows],
        group=answers.group[rows],
        logits=None,
    )


def measure(run: str, part: str) -> None:
    answers = read_predictions(HERE / "runs" / run / f"predictions-{part}.csv")
    recalls = [np.mean(answers.y_prob[answers.y_true == k].argmax(1) == k) for k in range(len(CODES))]
    rows = pd.DataFrame({"truth": answers.y_true, "group": answers.group})
    for pictures in PICTURES:
        rng = np.random.default_rng(pictures)
        found = {"settled": 0, "wrong": 0, "right": 0, "usual": 0, "usual wrong": 0}
        for number in range(DRAWS):
            lesions = rows.sample(frac=1, random_state=rng).drop_duplicates("group")
            chosen = drawn(lesions, pictures, rng).index.to_numpy()
            order = USUAL_ORDERS[number % len(USUAL_ORDERS)]
            made = find_order(in_order(answers, chosen, order))
            found["right"] += made.classes == order
            found["usual"] += made.usual_sure >= SURE
            found["usual wrong"] += made.usual_sure >= SURE and made.usual != order
            try:
                verify_sure(made)
            except BundleError:
                continue
            found["settled"] += 1
            found["wrong"] += made.classes != order
        least = rows.drop_duplicates("group")["truth"].value_counts().min()
        print(
            f"| {run} ({part}) | {np.mean(recalls):.2f} | {pictures} | {min(pictures // 7, least)} | "
            f"{found['settled']} | {found['wrong']} | {found['right']} | "
            f"{found['usual']} | {found['usual wrong']} |",
            flush=True,
        )


def write_file(ham10000: Path, out: Path) -> None:
    """Write the file of somebody else, and a folder of labelled pictures."""
    model = onnx.load_from_string(read_bundle("best").content)
    del model.metadata_props[:]
    metadata = next(port for port in model.graph.input if port.name == "metadata")
    nothing = np.zeros((1, metadata.type.tensor_type.shape.dim[1].dim_value), np.float32)
    model.graph.input.remove(metadata)
    model.graph.initializer.append(numpy_helper.from_array(nothing, "metadata"))
    order = [CODES.index(code) for code in USUAL_ORDERS[3]]
    model.graph.initializer.append(numpy_helper.from_array(np.array(order), "their_order"))
    model.graph.node.append(helper.make_node("Gather", ["logits", "their_order"], ["theirs"], axis=1))
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info("theirs", TensorProto.FLOAT, ["N", len(CODES)]))
    out.mkdir(parents=True, exist_ok=True)
    onnx.save(model, out / "theirs.onnx")
    table = pd.read_csv(ham10000 / "HAM10000_metadata.csv")
    split = pd.read_csv(HERE / "reference_split.csv", comment="#")
    table = table[table["image_id"].isin(split.loc[split["part"] == "cal", "image_id"])]
    lesions = table.sample(frac=1, random_state=0).drop_duplicates("lesion_id")
    for pictures in PICTURES:
        chosen = drawn(lesions.assign(truth=lesions["dx"]), pictures, np.random.default_rng(0))
        folder = out / str(pictures)
        folder.mkdir(exist_ok=True)
        chosen.drop(columns="truth").to_csv(folder / "truth.csv", index=False)
        for name in chosen["image_id"]:
            shutil.copyfile(next(ham10000.glob(f"*/{name}.jpg")), folder / f"{name}.jpg")
        print(folder, chosen["dx"].value_counts().to_dict())


if __name__ == "__main__":
    if sys.argv[1] == "file":
        write_file(Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        print(
            "| answers of | balanced accuracy | pictures | of the rarest | settled | wrong | likeliest "
            "| of the usual | wrong |"
        )
        print("|---|---|---|---|---|---|---|---|---|")
        for name, part in RUNS.items():
            measure(name, part)
