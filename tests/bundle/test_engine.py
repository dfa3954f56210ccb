import io
import subprocess
import sys
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
from lesionwise.errors import BundleError, ImageError
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
    with pytest.raises(BundleError, match=f"its {name} are no numbers for 1 of 3 images"):
        engine.answers([batch])


def test_an_unreadable_image_is_named(engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "note.txt"
    path.write_text("not an image")
    with pytest.raises(ImageError, match=r"note\.txt: is not an image of the formats"):
        engine.predict([images(1)[0], path])
    with pytest.raises(ImageError, match="image 1: is not an image"):
        engine.predict([images(1)[0], b"GIF89a"])
    with pytest.raises(ImageError, match=r"image 0: expected RGB pixels .* but got \(24, 32\) of float64"):
        engine.predict([np.zeros(SIZE)])  # type: ignore[list-item]


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
