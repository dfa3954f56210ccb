import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bundle.small_model import images
from lesionwise import load_model
from lesionwise.errors import BundleError
from lesionwise.evaluation.calibration.record import softmax
from lesionwise.export.foreign import Channels, Conventions, import_model
from lesionwise.export.trial import Gives, oddities
from lesionwise.labels import CODES

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402 (after the skip)

NOTEBOOK_ORDER = ("nv", "mel", "bkl", "bcc", "akiec", "vasc", "df")
CONVENTIONS = Conventions(
    classes=NOTEBOOK_ORDER, gives="probabilities", divide=255, mean=(0.6, 0.5, 0.4), std=(0.2, 0.2, 0.3)
)
WEIGHTS = np.random.default_rng(0).normal(size=(3, 7)).astype(np.float32)
Save = Callable[..., Path]


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """A function that writes a foreign model: mean colour, a linear layer, and softmax if asked for."""

    def write(  # noqa: PLR0913 (each is one way to be odd)
        *,
        planes: bool = False,
        ends_in_softmax: bool = True,
        last: str = "",
        batch: int | str = "b",
        opset: int = 17,
        side: int | str = 24,
        outputs: int = 7,
        first: Sequence[Any] = (),
        kind: int = TensorProto.FLOAT,
    ) -> Path:
        shape = [batch, 3, side, 32] if planes else [batch, side, 32, 3]
        nodes = [
            *first,
            *_mean(first[-1].output[0] if first else "x", [2, 3] if planes else [1, 2], opset),
            helper.make_node("MatMul", ["mean", "w"], ["logits"]),
            helper.make_node(last or ("Softmax" if ends_in_softmax else "Identity"), ["logits"], ["y"]),
        ]
        graph = helper.make_graph(
            nodes,
            "foreign",
            [helper.make_tensor_value_info("x", kind, shape)],
            [helper.make_tensor_value_info("y", kind, [batch, outputs])],
            [
                numpy_helper.from_array(
                    np.resize(WEIGHTS, (3, outputs)).astype(helper.tensor_dtype_to_np_dtype(kind)), "w"
                )
            ],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
        path = tmp_path / "foreign.onnx"
        onnx.save(model, path)
        return path

    return write


def _mean(source: str, axes: list[int], opset: int) -> list[Any]:
    """The nodes from pixels to the mean colour; axes are an input from opset 18 on."""
    if opset < 18:
        return [helper.make_node("ReduceMean", [source], ["mean"], axes=axes, keepdims=0)]
    return [
        helper.make_node("Constant", [], ["axes"], value_ints=axes),
        helper.make_node("ReduceMean", [source, "axes"], ["mean"], keepdims=0),
    ]


def expected(pixels: NDArray[np.uint8], conventions: Conventions = CONVENTIONS) -> NDArray[np.float64]:
    """What the foreign model answers, worked out by hand, in our order of classes."""
    prepared = (pixels / conventions.divide - conventions.mean) / conventions.std  # red, green, blue
    ordered = prepared if conventions.channels == "rgb" else prepared[..., ::-1]
    prob = softmax(ordered.mean((1, 2)) @ WEIGHTS)
    return prob[:, [conventions.classes.index(code) for code in CODES]]


@pytest.mark.parametrize("planes", [False, True])
@pytest.mark.parametrize("channels", ["rgb", "bgr"])
@pytest.mark.parametrize("ends_in_softmax", [False, True])
def test_an_imported_model_answers_as_it_did(
    save: Save, tmp_path: Path, *, planes: bool, channels: Channels, ends_in_softmax: bool
) -> None:
    conventions = replace(
        CONVENTIONS, channels=channels, gives="probabilities" if ends_in_softmax else "logits"
    )
    path = save(planes=planes, ends_in_softmax=ends_in_softmax)
    import_model(path, tmp_path / "out.onnx", conventions, name="theirs")
    pixels = images(5)
    answers = load_model(tmp_path / "out.onnx", threads=1).predict(pixels)
    assert np.abs(answers.probabilities - expected(pixels, conventions)).max() < 1e-5
    assert np.abs(softmax(answers.logits) - expected(pixels, conventions)).max() < 1e-5
    assert answers.description.origin == "onnx"
    assert answers.description.calibration is None
    assert set(answers.decisions.decision) == {"answer"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": CODES[:6]}, "expected --classes to be akiec.*each once"),
        ({"classes": (*CODES[:6], "mel")}, "each once"),
        ({"divide": 0}, "greater than 0"),
        ({"std": (0, 1, 1)}, "greater than 0"),
        ({"divide": float("nan")}, "finite numbers"),
        ({"mean": (0, float("inf"), 0)}, "finite numbers"),
        ({"size": (0, 0)}, "8 to 4096 pixels but got 0x0"),
        ({"gives": "logits"}, "not logits but look like probabilities. Pass --gives probabilities"),
        ({"size": (75, 100)}, r"24x32 pixels, but --size is 75x100\. Leave --size out"),
    ],
)
def test_what_cannot_be_true_is_refused(
    save: Save, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    out = tmp_path / "out.onnx"
    with pytest.raises(BundleError, match=message):
        import_model(save(), out, replace(CONVENTIONS, **changes), name="theirs")
    assert not out.exists()


def test_logits_said_to_be_probabilities_are_refused(save: Save, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="not probabilities but look like logits"):
        import_model(save(ends_in_softmax=False), tmp_path / "out.onnx", CONVENTIONS, name="theirs")


def test_outputs_are_counted_when_the_file_does_not_state_them(save: Save, tmp_path: Path) -> None:
    path = save(outputs=8, ends_in_softmax=False)
    model = onnx.load(path)
    del model.graph.output[0].type.tensor_type.shape.dim[:]
    model.graph.output[0].type.tensor_type.ClearField("shape")
    onnx.save(model, path)
    with pytest.raises(BundleError, match="gives 8 outputs for each image"):
        import_model(path, tmp_path / "out.onnx", replace(CONVENTIONS, gives="logits"), name="theirs")


@pytest.mark.parametrize(
    ("first", "words"),
    [
        (
            [
                helper.make_node("Constant", [], ["scales"], value_floats=[1.0, 1.0, 0.3, 0.3]),
                helper.make_node("Resize", ["x", "", "scales"], ["small"], mode="linear", antialias=1),
            ],
            "Resize with antialias=1",
        ),
        (
            [
                helper.make_node(
                    "AveragePool",
                    ["x"],
                    ["small"],
                    kernel_shape=[3, 3],
                    strides=[2, 2],
                    pads=[1, 1, 1, 1],
                    ceil_mode=1,
                    count_include_pad=1,
                )
            ],
            "AveragePool with ceil_mode=1",
        ),
    ],
)
def test_what_openvino_computes_otherwise_is_refused_by_name(
    save: Save, tmp_path: Path, first: list[Any], words: str
) -> None:
    path = save(planes=True, ends_in_softmax=False, opset=18 if "Resize" in words else 17, first=first)
    out = tmp_path / "out.onnx"
    with pytest.raises(
        BundleError, match=f"does not give the answers of the file itself on openvino.*{words}"
    ):
        import_model(path, out, replace(CONVENTIONS, gives="logits"), name="theirs")
    assert not out.exists()


def prediction(path: Path, out: Path, conventions: Conventions = CONVENTIONS) -> NDArray[np.float32]:
    """What the bundle of a foreign file answers for five pictures."""
    import_model(path, out, conventions, name="theirs")
    return load_model(out, threads=1).predict(images(5)).probabilities


def test_a_model_of_one_image_takes_any_number(save: Save, tmp_path: Path) -> None:
    flat = [
        helper.make_node("Constant", [], ["flat_shape"], value=numpy_helper.from_array(np.array([1, -1]))),
        helper.make_node(
            "Constant", [], ["full_shape"], value=numpy_helper.from_array(np.array([1, 24, 32, 3]))
        ),
        helper.make_node("Reshape", ["x", "flat_shape"], ["flat"]),
        helper.make_node("Reshape", ["flat", "full_shape"], ["again"]),
    ]
    found = prediction(save(batch=1, first=flat), tmp_path / "out.onnx")
    assert np.abs(found - expected(images(5))).max() < 1e-5


@pytest.mark.parametrize("opset", [11, 12])
def test_an_older_opset_is_brought_up_to_date(save: Save, tmp_path: Path, opset: int) -> None:
    found = prediction(save(opset=opset), tmp_path / "out.onnx")
    assert np.abs(found - expected(images(5))).max() < 1e-5


def test_half_precision_is_computed_in_fp32(save: Save, tmp_path: Path) -> None:
    found = prediction(save(kind=TensorProto.FLOAT16), tmp_path / "out.onnx")
    assert np.abs(found - expected(images(5))).max() < 2e-3


def test_weights_are_read_from_a_plain_file_beside_and_from_nowhere_else(save: Save, tmp_path: Path) -> None:
    path, out = save(), tmp_path / "out.onnx"
    model = onnx.load(path)
    onnx.save(model, path, save_as_external_data=True, location="foreign.onnx.data", size_threshold=0)
    assert np.abs(prediction(path, out) - expected(images(5))).max() < 1e-5
    (tmp_path / "foreign.onnx.data").unlink()
    with pytest.raises(
        BundleError, match=r"keeps weights in foreign\.onnx\.data, which is missing. Copy it into"
    ):
        import_model(path, out, CONVENTIONS, name="theirs")
    secret = tmp_path / "elsewhere" / "secret"
    secret.parent.mkdir()
    secret.write_bytes(bytes(1000))
    (tmp_path / "foreign.onnx.data").symlink_to(secret)
    with pytest.raises(BundleError, match="which is not a plain file in its folder"):
        import_model(path, out, CONVENTIONS, name="theirs")
    for place in ("../secret", "elsewhere/secret", "/etc/passwd"):
        for tensor in (model := onnx.load(path, load_external_data=False)).graph.initializer:
            tensor.external_data[0].value = place
        onnx.save(model, tmp_path / "sly.onnx")
        with pytest.raises(BundleError, match="which is not a plain file in its folder"):
            import_model(tmp_path / "sly.onnx", out, CONVENTIONS, name="theirs")


def test_whole_numbers_cannot_be_scaled(save: Save, tmp_path: Path) -> None:
    cast = helper.make_node("Cast", ["x"], ["float"], to=TensorProto.FLOAT)
    path = save(first=[cast])
    model = onnx.load(path)
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8
    onnx.save(model, path)
    with pytest.raises(BundleError, match=r"takes whole numbers as pixels\. Pass --divide 1"):
        import_model(path, tmp_path / "out.onnx", CONVENTIONS, name="theirs")


def test_answers_that_hardly_vary_are_warned_of(save: Save, tmp_path: Path) -> None:
    path, out = save(), tmp_path / "out.onnx"
    assert import_model(path, out, CONVENTIONS, name="theirs").warnings == ()
    twice = replace(CONVENTIONS, divide=255 * 255, mean=(0, 0, 0), std=(1, 1, 1))
    (warning,) = import_model(path, out, twice, name="theirs").warnings
    assert "nearly the same for all 8 trial pictures" in warning


def test_scaling_inside_and_outside_is_warned_of() -> None:
    varied = np.eye(7)
    (warning,) = oddities(varied, ("Rescaling",), scales_outside=True)
    assert "scales pixels itself (Rescaling)" in warning
    assert oddities(varied, ("Rescaling",), scales_outside=False) == ()


@pytest.mark.parametrize("gives", ["probabilities", "logits"])
def test_a_sigmoid_for_each_diagnosis_is_neither(save: Save, tmp_path: Path, gives: Gives) -> None:
    with pytest.raises(BundleError, match=r"between 0 and 1 that do not sum to 1.*neither"):
        import_model(
            save(last="Sigmoid"), tmp_path / "out.onnx", replace(CONVENTIONS, gives=gives), name="theirs"
        )


def test_a_second_output_and_flattened_pixels_are_refused_with_the_way_on(save: Save, tmp_path: Path) -> None:
    model = onnx.load(save())
    model.graph.output.append(helper.make_tensor_value_info("mean", TensorProto.FLOAT, ["b", 3]))
    onnx.save(model, tmp_path / "two.onnx")
    with pytest.raises(
        BundleError, match=r"2 outputs; expected one of each\. Keep only the output with the diagnoses"
    ):
        import_model(tmp_path / "two.onnx", tmp_path / "out.onnx", CONVENTIONS, name="theirs")
    before, after = ([helper.make_tensor_value_info(name, 1, ["b", n])] for name, n in (("x", 3), ("y", 7)))
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    flat = helper.make_graph([node], "flat", before, after, [numpy_helper.from_array(WEIGHTS, "w")])
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(flat, opset_imports=opsets, ir_version=8), tmp_path / "flat.onnx")
    with pytest.raises(BundleError, match=r"found \(any, 3\)\. Put a reshape before it"):
        import_model(tmp_path / "flat.onnx", tmp_path / "out.onnx", CONVENTIONS, name="theirs")


def test_what_is_refused_leaves_the_file_that_was_there(save: Save, tmp_path: Path) -> None:
    out = tmp_path / "out.onnx"
    import_model(save(), out, CONVENTIONS, name="theirs")
    good = out.read_bytes()
    with pytest.raises(BundleError, match="not imported"):
        import_model(save(), out, replace(CONVENTIONS, gives="logits"), name="theirs")
    with pytest.raises(BundleError, match="at most 200 characters"):
        import_model(save(), out, CONVENTIONS, name="x" * 201)
    assert out.read_bytes() == good


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"opset": 8}, r"has opset 8\. Export it with opset 9 or later"),
        ({"outputs": 8}, "gives 8 outputs for each image; expected 7, one for each of akiec"),
        ({"outputs": 3}, "gives 3 outputs for each image; expected 7"),
        ({"outputs": 1}, "gives 1 output for each image; expected 7"),
        ({"outputs": 1000}, "gives 1,000 outputs for each image; expected 7"),
        ({"side": "h"}, "Pass the size of its training images with --size"),
        ({"side": -1}, "Pass the size of its training images with --size"),
        ({"side": 4}, "takes images of 4x32 pixels; each side must have 8 to 4096"),
    ],
)
def test_a_model_that_cannot_be_served_is_refused(
    save: Save, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(BundleError, match=message):
        import_model(save(**changes), tmp_path / "out.onnx", CONVENTIONS, name="theirs")


def test_what_is_no_model_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "foreign.onnx"
    path.write_bytes(b"\x89PNG" * 40)
    with pytest.raises(BundleError, match=r"foreign\.onnx: .*neither an ONNX file nor a Keras model"):
        import_model(path, tmp_path / "out.onnx", CONVENTIONS, name="theirs")
    with pytest.raises(BundleError, match="no such file"):
        import_model(tmp_path / "none.onnx", tmp_path / "out.onnx", CONVENTIONS, name="theirs")


KERAS = """
import sys, numpy as np, keras
from keras import layers
model = keras.Sequential([
    keras.Input((24, 32, 3)),
    layers.Conv2D(8, 3, padding="same", activation="relu"), layers.MaxPooling2D(2), layers.Dropout(0.25),
    layers.Conv2D(16, 3, padding="same", activation="relu"), layers.MaxPooling2D(2), layers.Dropout(0.4),
    layers.Flatten(), layers.Dense(32, activation="relu"), layers.Dropout(0.5),
    layers.Dense(7, activation="softmax"),
])
model.compile("adam", "categorical_crossentropy")
pixels = np.load("pixels.npy")
x = (pixels / 255 - 0.5) / 0.25
model.fit(x, keras.utils.to_categorical(np.arange(len(x)) % 7, 7), epochs=1, batch_size=10, verbose=0)
for name in ("notebook.keras", "notebook.h5"):
    model.save(name)
np.save("answers.npy", model.predict(x, verbose=0))
"""


@pytest.mark.slow
def test_keras_files_of_the_notebooks_answer_as_in_keras() -> None:
    if find_spec("keras") is None:
        pytest.skip("the extra [keras] is not installed")
    pixels = images(21)
    np.save("pixels.npy", pixels)
    environment = {**os.environ, "KERAS_BACKEND": "torch"}
    subprocess.run([sys.executable, "-c", KERAS], check=True, capture_output=True, env=environment)
    answers = np.load("answers.npy")[:, [NOTEBOOK_ORDER.index(code) for code in CODES]]
    conventions = ["--classes", ",".join(NOTEBOOK_ORDER), "--gives", "probabilities", "--divide", "255"]
    conventions += ["--mean", "0.5", "--std", "0.25", "--channels", "rgb"]
    for name in ("notebook.keras", "notebook.h5"):
        command = [
            sys.executable,
            "-m",
            "lesionwise",
            "bundle",
            "import",
            name,
            "--out",
            "out.onnx",
            *conventions,
        ]
        done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr
        found = load_model("out.onnx", threads=1).predict(pixels)
        assert found.description.origin == "keras"
        assert np.abs(found.probabilities - answers).max() < 1e-4


def test_a_keras_file_that_brings_code_is_refused(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="the extra [keras] is not installed")
    path = tmp_path / "model.h5"
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = '{"config": {"layers": [{"class_name": "Lambda", "config": {}}]}}'
    with pytest.raises(
        BundleError,
        match=r"model\.h5: was not imported: has a Lambda layer, which contains code.*trust it\.$",
    ):
        import_model(path, tmp_path / "out.onnx", CONVENTIONS, name="theirs")
    with h5py.File(path, "w") as file:
        file.attrs["other"] = ""
    with pytest.raises(BundleError, match="weights without an architecture"):
        import_model(path, tmp_path / "out.onnx", CONVENTIONS, name="theirs")


def test_an_h5_file_is_judged_as_one_whatever_stands_behind_it(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="the extra [keras] is not installed")
    path = tmp_path / "model.h5"
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = '{"config": {"layers": [{"class_name": "Lambda", "config": {}}]}}'
    with zipfile.ZipFile(path, "a") as archive:  # Keras reads the part before it
        archive.writestr("config.json", '{"class_name": "Sequential"}')
    with pytest.raises(BundleError, match="has a Lambda layer, which contains code"):
        import_model(path, tmp_path / "out.onnx", CONVENTIONS, name="theirs")
