import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from conftest import Lesionwise
from lesionwise import load_model
from lesionwise.bundle.seen import seen_images
from lesionwise.data.dataset import Dataset
from lesionwise.evaluation.predictions import Predictions
from lesionwise.labels import CODES

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402 (after the skip)


@pytest.fixture
def imported(tmp_path: Path, lesionwise: Lesionwise) -> Path:
    """A bundle that was imported: mean colour and a linear layer, much too sure of itself."""
    weights = np.random.default_rng(0).normal(size=(3, 7)).astype(np.float32) * 0.4
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], axes=[1, 2], keepdims=0),
        helper.make_node("MatMul", ["mean", "w"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "foreign",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 24, 32, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 7])],
        [numpy_helper.from_array(weights, "w")],
    )
    path = tmp_path / "foreign.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    options = (
        "--classes akiec,bcc,bkl,df,mel,nv,vasc --gives logits --divide 1 --mean 0 --std 1 --channels rgb"
    )
    out = tmp_path / "theirs.onnx"
    assert lesionwise("bundle", "import", path, "--out", out, *options.split()).code == 0
    return out


def test_an_imported_bundle_is_raw_until_it_is_calibrated_on_labelled_pictures(
    imported: Path, drawn_folder: Path, drawn: Dataset, tmp_path: Path, lesionwise: Lesionwise
) -> None:
    assert "the probabilities are raw" in lesionwise("bundle", "show", imported).out
    table = lesionwise("predict", drawn.paths[0], "--model", imported, "--out", "table.csv")
    assert "its probabilities are raw" in table.err
    out = tmp_path / "calibrated.onnx"
    assert lesionwise("calibrate", imported, "--data", drawn_folder, "--out", out).code == 0
    raw, found = load_model(imported, threads=1), load_model(out, threads=1)
    before, after = raw.predict(drawn.paths[:9]), found.predict(drawn.paths[:9])
    calibration = found.description.calibration
    assert calibration is not None
    assert calibration.images == len(drawn.table)
    assert np.abs(after.probabilities - calibration.probabilities(before.logits)).max() < 1e-5
    assert after.probabilities.max(1).mean() < before.probabilities.max(1).mean()
    assert after.decisions.prediction_set is not None
    assert "temperature, on 91 lesions" in lesionwise("bundle", "show", out).out


def test_a_test_set_that_holds_pictures_of_the_calibration_is_found(
    imported: Path, drawn_folder: Path, drawn: Dataset, tmp_path: Path, lesionwise: Lesionwise
) -> None:
    out = tmp_path / "calibrated.onnx"
    assert lesionwise("calibrate", imported, "--data", drawn_folder, "--out", out).code == 0
    names = np.array([drawn.table["image_id"].iloc[0], "other"])
    predictions = Predictions(names, np.full((2, 7), 1 / 7))
    seen = seen_images(load_model(out, threads=1).description, predictions)
    assert seen is not None
    assert list(seen.reasons) == [names[0]]
    assert seen_images(load_model(imported, threads=1).description, predictions) is None


def _copied(drawn: Dataset, folder: Path) -> Path:
    """Return a folder of the drawn pictures alone."""
    folder.mkdir()
    for path in drawn.paths:
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def test_a_table_of_truths_stands_in_for_a_known_layout(
    imported: Path, drawn: Dataset, tmp_path: Path, lesionwise: Lesionwise
) -> None:
    folder, out = _copied(drawn, tmp_path / "pictures"), tmp_path / "calibrated.onnx"
    truth = tmp_path / "truth.csv"
    drawn.table[["image_id", "dx"]].to_csv(truth, index=False)
    command = ["calibrate", imported, "--data", folder, "--truth", truth, "--out", out]
    assert "expected the lesion of each image (lesion_id or group)" in lesionwise(*command).err
    assert lesionwise(*command, "--by", "image").code == 0
    drawn.table[["image_id", "dx", "lesion_id"]].to_csv(truth, index=False)
    assert lesionwise(*command).code == 0
    pd.concat([drawn.table, drawn.table.head(1).assign(image_id="lost")]).to_csv(truth, index=False)
    assert "such as lost. Leave these rows out" in lesionwise(*command).err


def test_pictures_with_a_diagnosis_that_is_none_of_the_seven_are_left_out_and_counted(
    imported: Path, drawn: Dataset, tmp_path: Path, lesionwise: Lesionwise
) -> None:
    folder, out = _copied(drawn, tmp_path / "pictures"), tmp_path / "calibrated.onnx"
    hot = pd.get_dummies(drawn.table["dx"]).astype(int).rename(columns=str.upper)
    truth = hot.assign(SCC=0, UNK=0, image=drawn.table["image_id"], lesion_id=drawn.table["lesion_id"])
    truth.loc[[0, 1], [*map(str.upper, CODES)]] = 0
    truth.loc[0, "SCC"] = truth.loc[1, "UNK"] = 1
    truth.to_csv(tmp_path / "truth.csv", index=False)
    command = ["calibrate", imported, "--data", folder, "--truth", tmp_path / "truth.csv", "--out", out]
    done = lesionwise(*command, "--json")
    assert done.code == 0, done.err
    assert "2 images left out, because their diagnosis is none of the seven: 1 of " in done.err
    assert json.loads(done.out)["images"] == len(drawn.table) - 2


def test_what_does_not_go_together_is_refused(imported: Path, tmp_path: Path, lesionwise: Lesionwise) -> None:
    assert "pass labelled pictures with --data" in lesionwise("calibrate", imported).err
    assert "go with a model file" in lesionwise("calibrate", tmp_path, "--out", "x.onnx").err
    for name in ("best", "larger"):
        refused = lesionwise("calibrate", name, "--data", tmp_path, "--out", "x.onnx")
        assert refused.code == 2
        assert refused.err.startswith(f"Error: {name}: is included in lesionwise and is calibrated already.")


def test_the_order_of_classes_is_found_with_labelled_pictures(
    drawn_folder: Path, tmp_path: Path, lesionwise: Lesionwise
) -> None:
    base = np.array([40, 90, 140]) + 25 * np.array([[i % 7, i**2 % 5, 3 - i // 2] for i in range(7)])
    order = [5, 4, 2, 1, 0, 6, 3]
    weights = (2 * base / 200).T.astype(np.float32)[:, order]
    bias = (-(base**2).sum(1) / 200).astype(np.float32)[order]
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], axes=[1, 2], keepdims=0),
        helper.make_node("Gemm", ["mean", "w", "b"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "foreign",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 24, 32, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 7])],
        [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(bias, "b")],
    )
    path = tmp_path / "foreign.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    command: list[object] = [
        "bundle",
        "import",
        path,
        "--out",
        "out.onnx",
        "--gives",
        "logits",
        "--divide",
        "1",
    ]
    command += ["--mean", "0", "--std", "1", "--channels", "rgb", "--classes", "auto"]
    refused = lesionwise(*command)
    assert refused.code == 2
    assert "--classes auto needs labelled pictures: pass their folder with --data" in refused.err
    for option in (
        ["--data", drawn_folder],
        ["--truth", drawn_folder / "HAM10000_metadata.csv"],
        ["--by", "image"],
    ):
        refused = lesionwise(*command[:-1], ",".join(CODES), *option)
        assert refused.code == 2
        assert "--data, --truth and --by need --classes auto" in refused.err
    done = lesionwise(*command, "--data", drawn_folder, "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["order"]["classes"] == [CODES[place] for place in order]
