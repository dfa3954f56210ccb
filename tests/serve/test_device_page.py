"""The page that runs a bundle on the visitor's device, in a real browser."""

import base64
import functools
import http.server
import json
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from bundle.conftest import MakeBundle, exported, graph, make_bundle
from conftest import ROOT
from lesionwise.bundle.engine import Engine, load_model
from lesionwise.bundle.load import read_bundle
from lesionwise.errors import BundleError
from lesionwise.labels import CODES
from lesionwise.serve.device_page import PACKAGE, RUNTIME, TESTED, device_page
from serve.drawn_model import BETWEEN, BLUE, DARK, LIGHT, picture, write_bundle
from serve.test_browser import RESULT, browser

if TYPE_CHECKING:
    import playwright.sync_api as playwright

__all__ = ["browser", "exported", "graph", "make_bundle"]

OpenDevicePage = Callable[[Path | str], "playwright.Page"]


@pytest.fixture(scope="session")
def package() -> Path:
    """The folder of npm's onnxruntime-web."""
    named = os.environ.get("LESIONWISE_ONNXRUNTIME_WEB")
    nearby = (folder / "node_modules" / PACKAGE for folder in Path(__file__).resolve().parents)
    for folder in [Path(named)] if named else nearby:
        if (folder / "dist" / RUNTIME[0]).is_file():
            return folder
    pytest.skip(
        f'there is no {PACKAGE} here; run "sh .ci/onnxruntime-web.sh", or name its folder in '
        "LESIONWISE_ONNXRUNTIME_WEB"
    )


@pytest.fixture
def stand_in_package(tmp_path: Path) -> Path:
    """A folder with the same names, for what needs no browser."""
    (tmp_path / "package" / "dist").mkdir(parents=True)
    (tmp_path / "package" / "package.json").write_text('{"version": "1.22.0"}')
    for name in RUNTIME:
        (tmp_path / "package" / "dist" / name).write_bytes(name.encode())
    return tmp_path / "package"


@pytest.fixture
def open_device_page(
    browser: "playwright.Browser", package: Path, tmp_path: Path
) -> Iterator[OpenDevicePage]:
    """A function that serves a bundle's page as files and opens it; a request elsewhere fails the test."""
    servers: list[http.server.ThreadingHTTPServer] = []
    contexts, complaints = [], []

    def opened(model: Path | str) -> "playwright.Page":
        folder = tmp_path / f"page{len(servers)}"
        for name, content in device_page(read_bundle(model), package).items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        server = http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0), functools.partial(_Quiet, directory=folder)
        )
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        here = f"http://127.0.0.1:{server.server_port}/"
        context = browser.new_context()
        context.set_default_timeout(180_000)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text))
        page.on(
            "request",
            lambda request: (
                None
                if request.method == "GET" and request.url.startswith((here, "data:", "blob:"))
                else complaints.append(f"{request.method} {request.url}")
            ),
        )
        page.goto(here)
        return page

    yield opened
    for context in contexts:
        context.close()
    for server in servers:
        server.shutdown()
        server.server_close()
    assert not complaints


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def ask(page: "playwright.Page", *files: str) -> list[dict[str, Any]]:
    """Return what the page answers about some files, as its JSON has it."""
    page.locator("#image").set_input_files(list(files))
    cards = page.locator(RESULT)
    cards.nth(len(files) - 1).wait_for()
    cards.first.wait_for()
    named = {}
    for card in cards.all():
        name = card.evaluate("card => card.dataset.name")
        named[name] = page.evaluate(
            "name => answerOf([...document.querySelectorAll('article.result')]"
            ".find(card => card.dataset.name === name))",
            name,
        )
    return [named[Path(file).name]["results"][0] for file in files]


def noise(seed: int, size: tuple[int, int]) -> Image.Image:
    """A picture with edges, gradients and noise."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (9, 12, 3), np.uint8)).resize(
        size, Image.Resampling.BICUBIC
    )
    grain = rng.integers(-20, 20, (size[1], size[0], 3))
    return Image.fromarray(np.clip(np.asarray(coarse) + grain, 0, 255).astype(np.uint8))


def test_the_decisions_are_those_of_predict(open_device_page: OpenDevicePage, tmp_path: Path) -> None:
    model = write_bundle(tmp_path / "model.onnx")
    page = open_device_page(model)
    files = []
    for name, color in {"light": LIGHT, "dark": DARK, "between": BETWEEN, "blue": BLUE}.items():
        files.append(str(tmp_path / f"{name}.png"))
        Path(files[-1]).write_bytes(picture(color, (320, 240), "PNG"))
    found = ask(page, *files)
    answers = load_model(model).predict(files)
    for one, answer in zip(found, answers, strict=True):
        expected = answer.to_json()
        numbers = {key: expected.pop(key) for key in ("probabilities", "malignant_probability", "ood_score")}
        assert {key: one[key] for key in expected} == expected
        assert one["probabilities"] == pytest.approx(numbers["probabilities"], abs=1e-4)
        assert one["ood_score"] == pytest.approx(numbers["ood_score"], abs=1e-4)
    assert {one["decision"] for one in found} == {"answer", "uncertain", "not_a_lesion_image"}
    assert "drawn" in page.locator("#model").inner_text()


@pytest.mark.parametrize("size", [(64, 48), (601, 451), (97, 300), (50, 40), (300, 300)])
def test_pixels_are_fitted_to_the_model_as_predict_does_it(
    size: tuple[int, int], open_device_page: OpenDevicePage, tmp_path: Path
) -> None:
    model = write_bundle(tmp_path / "model.onnx")
    verify_same_pixels(open_device_page(model), model, noise(size[0], size), tmp_path)


def test_the_model_that_ships_gets_the_pixels_of_predict(
    open_device_page: OpenDevicePage, tmp_path: Path
) -> None:
    verify_same_pixels(open_device_page("best"), "best", noise(3, (600, 450)), tmp_path)


def verify_same_pixels(page: "playwright.Page", model: Path | str, image: Image.Image, folder: Path) -> None:
    """Compare what the network sees in the page and in `predict`."""
    image.save(folder / "picture.png")
    found = page.evaluate(
        """async content => {
            const file = new Blob([Uint8Array.from(atob(content), letter => letter.charCodeAt(0))]);
            const pixels = device.fit(await device.decode(file));
            return btoa(Array.from(pixels, byte => String.fromCharCode(byte)).join(""));
        }""",
        base64.b64encode((folder / "picture.png").read_bytes()).decode(),
    )
    expected = load_model(model).read(folder / "picture.png").ravel()
    difference = np.frombuffer(base64.b64decode(found), np.uint8) - expected.astype(int)
    assert np.count_nonzero(difference) <= 2  # of 291,600 for `best`; other processors may round otherwise


def test_the_model_that_ships_answers_as_in_predict(open_device_page: OpenDevicePage, tmp_path: Path) -> None:
    page = open_device_page("best")
    files = []
    for seed, size in enumerate([(600, 450), (800, 800)]):
        files.append(str(tmp_path / f"{seed}.png"))
        noise(seed, size).save(files[-1])
    page.locator("select[name=sex]").select_option("female")
    page.locator("input[name=age]").fill("45")
    found = ask(page, *files)
    known: dict[str, str | float | None] = {"sex": "female", "age": 45}
    answers = load_model("best").predict(files, known)
    for one, answer in zip(found, answers, strict=True):
        assert one["probabilities"] == pytest.approx(answer.probabilities, abs=1e-4)
        assert (one["decision"], one["prediction_set"]) == (
            answer.decision,
            list(answer.prediction_set or ()),
        )


def test_near_ties_get_the_second_look_of_predict(
    open_device_page: OpenDevicePage, make_bundle: MakeBundle, tmp_path: Path
) -> None:
    model = make_bundle(second_look=50.0).path
    noise(1, (60, 44)).save(tmp_path / "noise.png")
    [found] = ask(open_device_page(model), str(tmp_path / "noise.png"))
    engine = load_model(model)
    [answer] = engine.predict(tmp_path / "noise.png")
    pixels = engine.read(tmp_path / "noise.png")[None]
    once = dict(zip(CODES, engine.look(pixels)["probabilities"][0].tolist(), strict=True))
    assert once != pytest.approx(answer.probabilities, abs=3e-5)
    assert found["probabilities"] == pytest.approx(answer.probabilities, abs=1e-5)


def test_a_file_that_is_no_image_is_refused_with_its_name(
    open_device_page: OpenDevicePage, tmp_path: Path
) -> None:
    page = open_device_page(write_bundle(tmp_path / "model.onnx"))
    (tmp_path / "note.png").write_bytes(b"this is no image")
    page.locator("#image").set_input_files(str(tmp_path / "note.png"))
    page.locator("article.refused").wait_for()
    assert "cannot read note.png" in page.locator("article.refused h2").inner_text()


def test_a_changed_model_is_not_run(open_device_page: OpenDevicePage, tmp_path: Path) -> None:
    page = open_device_page(write_bundle(tmp_path / "model.onnx"))
    (tmp_path / "page0" / "model.onnx").write_bytes(b"another file")
    path = tmp_path / "light.png"
    path.write_bytes(picture(LIGHT, (320, 240), "PNG"))
    page.locator("#image").set_input_files(str(path))
    page.locator("article.refused").wait_for()
    assert "SHA-256" in page.locator("article.refused h2").inner_text()


def test_a_page_holds_all_it_needs_and_names_no_other_host(stand_in_package: Path, tmp_path: Path) -> None:
    files = device_page(read_bundle(write_bundle(tmp_path / "model.onnx")), stand_in_package)
    html = files["index.html"].decode()
    assert {f"runtime/{name}" for name in RUNTIME} < files.keys()
    assert "://" not in html.replace("http://www.w3.org/2000/svg", "")
    assert "connect-src 'self'" in html
    header = files["README.md"].decode().split("---\n")[1]
    assert "sdk: static\n" in header
    assert "license: cc0-1.0\n" in header


def test_what_the_browser_cannot_do_is_refused(stand_in_package: Path, tmp_path: Path) -> None:
    engine = Engine(read_bundle(write_bundle(tmp_path / "model.onnx")))
    rule = engine.description.input.model_copy(update={"steps": ("hair_removal",)})
    changed = type(engine.bundle)(
        engine.bundle.path,
        engine.bundle.content,
        engine.bundle.sha256,
        engine.description.model_copy(update={"input": rule}),
    )
    with pytest.raises(BundleError, match="reads images with hair_removal"):
        device_page(changed, stand_in_package)
    with pytest.raises(BundleError, match=r"expected the folder of npm's onnxruntime-web.*npm install"):
        device_page(engine.bundle, tmp_path)


def test_ci_tests_the_version_that_users_are_told_to_install() -> None:
    script = (ROOT / ".ci" / "onnxruntime-web.sh").read_text()
    assert f"package={PACKAGE}\nversion={TESTED}\n" in script
    assert all(f"package/dist/{name}" in script for name in RUNTIME)


def test_the_facts_of_the_page_are_json_that_a_script_can_read(
    stand_in_package: Path, tmp_path: Path
) -> None:
    html = device_page(read_bundle(write_bundle(tmp_path / "model.onnx")), stand_in_package)[
        "index.html"
    ].decode()
    facts = json.loads(html.split('id="device">')[1].split("</script>")[0])
    assert facts["sets"]["limits"] == [0.9] * 7
    assert facts["point"]["threshold"] == 0.2
