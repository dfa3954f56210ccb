import io
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bundle.conftest import MakeBundle
from bundle.small_model import SIZE, images
from lesionwise import load_model
from lesionwise.bundle.engine import Engine
from lesionwise.bundle.runtimes import RUNTIMES, Runtime, start
from lesionwise.data.images import read_image
from lesionwise.errors import BundleError, DataError, ImageError
from lesionwise.export.graph import BundleGraph
from lesionwise.labels import CODES


@pytest.fixture
def engine(make_bundle: MakeBundle) -> Engine:
    return Engine(make_bundle(), threads=1)


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("count", [1, 5])
def test_each_runtime_answers_as_pytorch(
    make_bundle: MakeBundle, graph: BundleGraph, runtime: Runtime, count: int
) -> None:
    if runtime == "onnxruntime":
        pytest.importorskip("onnxruntime")
    pixels = images(count)
    with torch.inference_mode():
        expected = graph(torch.from_numpy(pixels))
    found = Engine(make_bundle(), runtime=runtime, threads=1).run(pixels)
    assert list(found) == ["probabilities", "logits", "embedding", "ood_score", "cam"]
    assert np.ptp(expected["probabilities"].numpy(), axis=1).max() > 0.1
    for name, values in expected.items():
        assert found[name].shape == values.shape
        assert np.abs(found[name] - values.numpy()).max() < 1e-4 * max(1, values.abs().max()), name


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_what_a_runtime_refuses_is_refused_by_name(make_bundle: MakeBundle, runtime: Runtime) -> None:
    if runtime == "onnxruntime":
        pytest.importorskip("onnxruntime")
    bundle = make_bundle()
    torn = replace(bundle, content=bundle.content.replace(b"ReduceMean", b"ReduceMeen"))
    with pytest.raises(BundleError, match=rf"model\.onnx: {runtime} cannot build its graph: "):
        Engine(torn, runtime=runtime)
    engine = Engine(bundle, runtime=runtime, threads=1)
    for odd in (images(2, (10, 10)), images(2).astype(float)):
        with pytest.raises(ImageError, match=r"Expected pixels \(N, 24, 32, 3\) of uint8 but got"):
            engine.run(odd)


def test_a_graph_that_breaks_on_an_image_is_reported(make_bundle: MakeBundle) -> None:
    pytest.importorskip("onnxruntime")
    run = start("onnxruntime", make_bundle().content, ("probabilities",), precision="fp32", threads=1)
    with pytest.raises(BundleError, match="onnxruntime cannot run its graph: "):
        run({"image": images(2, (10, 10))})


def test_paths_bytes_and_arrays_are_answered_alike(engine: Engine, tmp_path: Path) -> None:
    picture = images(1, (48, 64))[0]
    path = tmp_path / "mole.png"
    Image.fromarray(picture).save(path)
    answers = engine.predict([path, str(path), path.read_bytes(), picture])
    assert len(answers) == 4
    assert (answers.probabilities == answers.probabilities[0]).all()
    assert (engine.predict(picture).probabilities == answers.probabilities[:1]).all()
    assert (engine.predict(path).probabilities == answers.probabilities[:1]).all()


@pytest.mark.parametrize(
    "kind",
    [
        "Pillow",
        "open file",
        "floats",
        "tensor",
        "channels first",
        "folder",
        "pattern",
        "zip",
    ],
)
def test_each_kind_of_image_is_answered_alike(engine: Engine, tmp_path: Path, kind: str) -> None:
    picture = images(1, (48, 64))[0]
    path = tmp_path / "in" / "mole.png"
    path.parent.mkdir()
    Image.fromarray(picture).save(path)
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        archive.write(path, "mole.png")
    tensor = torch.from_numpy(picture)
    with path.open("rb") as file:
        given = {
            "Pillow": Image.fromarray(picture),
            "open file": file,
            "floats": picture / 255,
            "tensor": tensor,
            "channels first": tensor.permute(2, 0, 1) / 255,
            "folder": path.parent,
            "pattern": str(path.parent / "*.png"),
            "zip": tmp_path / "in.zip",
        }[kind]
        answers = engine.predict(
            [given, picture, given] if kind != "open file" else [given, picture, picture]
        )
    assert (answers.probabilities == answers.probabilities[1]).all()
    assert [answer.read_pixels() is not None for answer in answers] == [True] * 3
    assert answers.names[1] == "image 1"


def test_a_batch_of_arrays_or_tensors_is_several_images(engine: Engine) -> None:
    pictures = images(3)
    expected = engine.predict(list(pictures)).probabilities
    for batch in (pictures, torch.from_numpy(pictures), torch.from_numpy(pictures).permute(0, 3, 1, 2)):
        assert (engine.predict(batch).probabilities == expected).all()


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((3, 24, 32), np.uint8), r"image 0: .*channels come first. Pass image.transpose\(1, 2, 0\)"),
        (np.full((24, 32, 3), 1.5), "image 0: expected floats from 0 to 1 but found 0 to 1.5"),
        (np.full((24, 32, 3), np.nan), "image 0: expected floats from 0 to 1 but found"),
        (torch.full((3, 24, 32), -2.0), "expected floats from 0 to 1 but found -2 to 0"),
        (np.zeros((24, 32, 4), np.uint8), r"expected RGB pixels .* but got \(24, 32, 4\)"),
        (np.zeros((24, 32, 3), np.int64), r"expected RGB pixels .* of int64"),
        ({"image": 1}, "an array or a tensor but got dict"),
        (io.StringIO("text"), "is opened as text. Open it as bytes"),
        (io.BytesIO(b""), "already read to its end"),
        (Image.new("F", (30, 30)), "image 0: has 32 bits a channel"),
    ],
)
def test_what_is_no_image_is_refused_with_the_way_out(engine: Engine, image: object, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        engine.predict(image)  # type: ignore[arg-type]


def test_a_place_without_images_is_refused(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected a file, a folder, a pattern"):
        engine.predict("nowhere")
    with pytest.raises(DataError, match="holds no image"):
        engine.predict(tmp_path)


def test_unreadable_images_can_be_skipped_and_are_listed(engine: Engine, tmp_path: Path) -> None:
    Image.fromarray(images(1)[0]).save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes(b"no image")
    with pytest.raises(ImageError, match=r"bad\.png"):
        engine.predict(tmp_path)
    answers = engine.predict(tmp_path, skip_unreadable=True)
    assert [Path(name).name for name in answers.names] == ["good.png"]
    assert [Path(name).name for name in answers.left_out] == ["bad.png"]


def test_a_missing_file_is_an_image_that_cannot_be_read(engine: Engine, tmp_path: Path) -> None:
    Image.fromarray(images(1)[0]).save(tmp_path / "good.png")
    with pytest.raises(ImageError, match=r"gone\.jpg: cannot be read: No such file"):
        engine.predict(tmp_path / "gone.jpg")
    known = [tmp_path / "gone.jpg", tmp_path / "good.png"]
    answers = engine.predict(known, skip_unreadable=True)
    assert answers.names == (str(tmp_path / "good.png"),)
    assert answers.left_out == {str(tmp_path / "gone.jpg"): "cannot be read: No such file or directory."}


def test_answers_are_a_sequence_of_named_answers_and_a_table(engine: Engine, tmp_path: Path) -> None:
    for name, pixels in zip("abc", images(3), strict=True):
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    answers = engine.predict(tmp_path)
    assert [answer.name for answer in answers] == list(answers.names)
    for row, answer in enumerate(answers):
        assert answer.top == max(answer.probabilities, key=answer.probabilities.__getitem__)
        assert answer.prediction_set is not None
        assert set(answer.prediction_set) == set(answers.decisions.prediction_codes(row) or ())
        assert answer.malignant_probability == pytest.approx(answers.decisions.malignant_probability[row])
    assert answers[-1].name == answers[2].name
    assert [answer.name for answer in answers[1:]] == list(answers.names[1:])
    with pytest.raises(IndexError):
        _ = answers[3]
    table = answers.to_frame()
    assert table["image_id"].tolist() == ["a", "b", "c"]
    assert table["prob_mel"].tolist() == answers.probabilities[:, 4].tolist()


def test_reprs_are_short_and_a_notebook_shows_image_bars_and_map(engine: Engine) -> None:
    answers = engine.predict(images(40))
    assert len(repr(answers).splitlines()) == 8
    assert "small: 40 answers" in repr(answers)
    assert "… and 35 more" in repr(answers)
    assert len(repr(answers[0]).splitlines()) == 10
    assert repr(engine).startswith("<Engine small: images of 24x32 px; fp32 on openvino; ")
    shown = answers._repr_html_()
    assert shown.count("<img ") == 2 * 12
    assert "and 28 more" in shown
    assert answers[0]._repr_html_().count('class="bar ') == 7


def test_a_notebook_escapes_the_names_of_files(engine: Engine, tmp_path: Path) -> None:
    Image.fromarray(images(1)[0]).save(tmp_path / "<script>.png")
    assert "<script>" not in engine.predict(tmp_path)._repr_html_()


def test_many_images_are_answered_in_order(engine: Engine) -> None:
    pictures = images(70)
    answers = engine.predict(pictures)
    alone = np.concatenate([engine.run(picture[None])["probabilities"] for picture in pictures])
    assert np.abs(answers.probabilities - alone).max() < 1e-5


def test_no_image_gives_no_answer(engine: Engine) -> None:
    answers = engine.predict([])
    assert answers.probabilities.shape == (0, 7)
    assert len(answers.decisions.decision) == 0


@pytest.mark.parametrize("name", ["probabilities", "ood_score"])
def test_a_model_that_gives_no_numbers_is_not_believed(engine: Engine, name: str) -> None:
    batch = engine.run(images(3))
    batch[name][1] = np.nan
    with pytest.raises(BundleError, match=f"its output {name} is not a number for 1 of 3 images"):
        engine.answers([batch])


def test_an_unreadable_image_is_named(engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "note.txt"
    path.write_text("not an image")
    with pytest.raises(ImageError, match=r"note\.txt: is not an image of the formats"):
        engine.predict([images(1)[0], path])
    with pytest.raises(ImageError, match="image 1: is not an image"):
        engine.predict([images(1)[0], b"GIF89a"])
    with pytest.raises(ImageError, match=r"image 0: expected RGB pixels .* but got \(24, 32\) of float64"):
        engine.predict([np.zeros(SIZE)])


def test_several_threads_get_their_own_answers(engine: Engine) -> None:
    pictures = images(24)
    expected = engine.predict(pictures).probabilities
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda picture: engine.predict(picture).probabilities[0], pictures))
    assert np.abs(np.stack(found) - expected).max() < 1e-5


def test_the_answer_names_decision_and_diagnosis(make_bundle: MakeBundle) -> None:
    make_bundle()
    decisions = load_model("model.onnx").predict(images(3)).decisions
    assert set(decisions.top) <= set(CODES)
    assert set(decisions.decision) <= {"answer", "uncertain"}


def test_answers_need_neither_torch_nor_tables_nor_telemetry(make_bundle: MakeBundle) -> None:
    make_bundle()
    picture = io.BytesIO()
    Image.fromarray(images(1)[0]).save(picture, "PNG")
    script = (
        "import sys, lesionwise; model = lesionwise.load_model('model.onnx');"
        "model.predict(sys.stdin.buffer.read()).decisions;"
        "print([name for name in ('torch', 'pandas', 'scipy', 'sklearn', 'onnx', 'onnxruntime', "
        "'openvino_telemetry.main') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], input=picture.getvalue(), capture_output=True, check=True
    )
    assert done.stdout.decode().strip() == "[]"


@pytest.mark.parametrize("kind", ["png", "square", "rotated", "twelve megapixels"])
def test_the_engine_sees_the_pixels_that_training_sees(engine: Engine, tmp_path: Path, kind: str) -> None:
    size = {"square": (500, 500), "twelve megapixels": (3000, 4000)}.get(kind, (450, 600))
    path = tmp_path / ("picture.png" if kind == "png" else "picture.jpg")
    exif = Image.Exif()
    exif[0x0112] = 6 if kind == "rotated" else 1
    Image.fromarray(images(1, size)[0]).save(path, exif=exif)
    expected = read_image(path, SIZE)
    assert np.array_equal(engine.read(path), expected)
    assert np.array_equal(engine.read(path.read_bytes()), expected)
    assert np.array_equal(engine.predict(path).logits, engine.run(expected[None])["logits"])
