"""The page in a real browser."""

import csv
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lesionwise.bundle.engine import load_model
from lesionwise.data.dataset import Dataset
from lesionwise.data.metadata import encoding_of
from lesionwise.predict.gallery import make_gallery
from lesionwise.serve.limits import Limits
from serve.conftest import listening_service
from serve.drawn_model import BETWEEN, BLUE, DARK, LIGHT, picture, write_bundle

if TYPE_CHECKING:
    import playwright.sync_api as playwright
else:
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")

CHROMIUM = (
    os.environ.get("LESIONWISE_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
)
RESULT = "article.result:not(.pending)"
OpenPage = Callable[..., "playwright.Page"]
PATIENCE_MS = 90_000  # of a machine that has much else to do; nothing waits longer than it must


@pytest.fixture(scope="module")
def browser() -> Iterator["playwright.Browser"]:
    if CHROMIUM is None:
        pytest.skip("there is no Chromium here; Debian's package is called chromium")
    with playwright.sync_playwright() as driver:
        playwright.expect.set_options(timeout=PATIENCE_MS)
        arguments = ["--no-sandbox", "--disable-dev-shm-usage"]
        launched = driver.chromium.launch(executable_path=CHROMIUM, args=arguments, timeout=PATIENCE_MS)
        yield launched
        launched.close()


@pytest.fixture
def open_page(browser: "playwright.Browser", live: str) -> Iterator[OpenPage]:
    """A function that opens the page in a context of its own; a complaint of the browser is a failure."""
    contexts, complaints = [], []

    def opened(address: str = "/", *, service: str = live, **options: Any) -> "playwright.Page":
        context = browser.new_context(**options)
        context.set_default_timeout(PATIENCE_MS)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text) if is_complaint(said.text) else None)
        page.goto(service + address)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not complaints


def is_complaint(text: str) -> bool:
    return "Failed to load resource" not in text  # the browser notes refusals, too


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """One file of each kind, by name."""
    contents = {
        "light.jpg": picture(LIGHT, (320, 240)),
        "dark.png": picture(DARK, (320, 240), "PNG"),
        "between.jpg": picture(BETWEEN, (320, 240)),
        "photograph.jpg": picture(BLUE, (320, 240)),
        "note.jpg": b"this is no image",
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    return {name: str(tmp_path / name) for name in contents}


def choose(page: "playwright.Page", *paths: str) -> None:
    page.set_input_files("#image", list(paths))
    playwright.expect(page.locator(RESULT)).to_have_count(len(paths))


@pytest.fixture(scope="module")
def with_gallery(drawn: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a service with a gallery."""
    folder = tmp_path_factory.mktemp("gallery")
    outputs = ("probabilities", "logits", "embedding", "ood_score", "cam")
    engine = load_model(write_bundle(folder / "m.onnx", outputs=outputs), threads=1)
    made, _ = make_gallery(engine, drawn, folder / "g.safetensors", pictures=True, licence="CC0-1.0")
    with listening_service(engine, Limits(), made.write()) as address:
        yield address


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_similar_lesions_can_be_put_beside_the_image(
    open_page: OpenPage, with_gallery: str, files: dict[str, str], scheme: str
) -> None:
    page = open_page(service=with_gallery, color_scheme=scheme)
    choose(page, files["dark.png"])
    alike = page.locator(".alike li")
    playwright.expect(alike).to_have_count(5)
    playwright.expect(page.locator(".similar")).to_contain_text("licence: CC0-1.0")
    beside = page.locator(".beside figure")
    playwright.expect(page.locator(".beside")).to_be_hidden()
    box = page.get_by_role("checkbox", name="show beside your image").nth(2)
    box.focus()
    page.keyboard.press("Space")
    playwright.expect(beside.nth(0)).to_be_visible()
    playwright.expect(beside.nth(3)).to_be_visible()
    playwright.expect(beside.nth(1)).to_be_hidden()
    left, right = (figure.bounding_box() for figure in (beside.nth(0), beside.nth(3)))
    assert left
    assert right
    assert left["y"] == right["y"]
    assert left["x"] + left["width"] <= right["x"]
    assert not serious(page)
    page.keyboard.press("Space")
    playwright.expect(page.locator(".beside")).to_be_hidden()


def test_similar_lesions_fit_a_phone_and_need_no_script(
    open_page: OpenPage, with_gallery: str, files: dict[str, str]
) -> None:
    page = open_page(service=with_gallery, viewport={"width": 360, "height": 740}, java_script_enabled=False)
    page.set_input_files("#image", [files["dark.png"]])
    page.locator("button[type=submit]").click()
    playwright.expect(page.locator(".alike image")).to_have_count(5)
    page.locator(".alike label").first.click()
    playwright.expect(page.locator(".beside figure").nth(1)).to_be_visible()
    boxes = [one.bounding_box() for one in page.locator(".alike li").all()]
    assert all(box and box["x"] >= 0 and box["x"] + box["width"] <= 360 for box in boxes)


def serious(page: "playwright.Page") -> list[str]:
    found = axe.Axe().run(page).response["violations"]
    return [
        f"{one['id']}: {one['nodes'][0]['html']}" for one in found if one["impact"] in ("serious", "critical")
    ]


def overflow_px(page: "playwright.Page") -> int:
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


def test_an_image_gets_an_answer_with_a_heatmap(open_page: OpenPage, files: dict[str, str]) -> None:
    page = open_page()
    choose(page, files["dark.png"])
    playwright.expect(page.locator(RESULT)).to_contain_text("Melanoma is likeliest")
    playwright.expect(page.locator(RESULT)).to_contain_text("dark.png")
    playwright.expect(page.locator("#status")).to_contain_text("dark.png: Melanoma")
    playwright.expect(page.locator("h2:focus")).to_have_count(1)
    assert page.locator(".bars li").count() == 7
    assert page.locator(".bars li").first.inner_text().startswith("Melanoma")
    heat = page.locator("image.heat")
    assert (heat.get_attribute("href") or "").startswith("data:image/png")
    page.locator(".heat-slider").fill("25")
    playwright.expect(heat).to_have_attribute("opacity", "0.25")
    page.locator(".heat-switch").uncheck()
    playwright.expect(heat).to_have_css("visibility", "hidden")
    assert not serious(page)


def test_several_at_once_with_a_bad_one_among_them(open_page: OpenPage, files: dict[str, str]) -> None:
    page = open_page()
    choose(page, *files.values())
    said = page.locator("#overview li").all_inner_texts()
    assert said == [
        "light.jpg: Mole, 99\xa0% · malignant 1\xa0%",
        "dark.png: Melanoma, >\xa099\xa0% · malignant >\xa099\xa0%",
        "between.jpg: Uncertain · malignant 58\xa0%",
        "photograph.jpg: Not recognised as a lesion image",
        "note.jpg: The file is not an image of a known format",
    ]
    boxes = [chip.bounding_box() for chip in page.locator("#overview .chip").all()]
    assert all(box and box["width"] == box["height"] for box in boxes)
    rejected = page.locator("article.not_a_lesion_image")
    playwright.expect(rejected).to_contain_text("It is unlike the images the model learnt from")
    assert rejected.locator(".bars").count() == 0
    assert rejected.locator(".heat").count() == 0
    assert page.locator("article.refused").count() == 1
    assert not serious(page)
    page.locator(".remove").first.click()
    playwright.expect(page.locator(RESULT)).to_have_count(4)
    page.locator("article.refused .remove").click()
    playwright.expect(page.locator(RESULT)).to_have_count(3)


def test_several_answers_are_folded_and_opened_one_by_one(open_page: OpenPage, files: dict[str, str]) -> None:
    page = open_page()
    choose(page, files["light.jpg"], files["dark.png"])
    assert page.locator(".bars").first.is_hidden()
    page.locator("#overview a").nth(1).click()
    playwright.expect(page.locator(".bars").nth(1)).to_be_visible()
    assert page.locator(".bars").first.is_hidden()
    fold = page.locator(".fold").first
    playwright.expect(fold).to_have_attribute("aria-expanded", "false")
    fold.click()
    playwright.expect(fold).to_have_attribute("aria-expanded", "true")
    playwright.expect(page.locator(".bars").first).to_be_visible()
    page.mouse.wheel(0, 900)
    playwright.expect(page.locator("#overview")).to_be_in_viewport()
    assert not serious(page)
    page.emulate_media(media="print")
    fold.evaluate("button => button.closest('article').classList.add('folded')")
    playwright.expect(page.locator(".bars").first).to_be_visible()


def test_all_answers_become_one_table_and_go_together(
    open_page: OpenPage, files: dict[str, str], tmp_path: Path
) -> None:
    formula = tmp_path / "=1+1.jpg"
    formula.write_bytes(picture(DARK))
    page = open_page()
    choose(page, files["light.jpg"], files["note.jpg"], str(formula))
    with page.expect_download() as download:
        page.locator("#overview .table").click()
    download.value.save_as(tmp_path / "all.csv")
    with (tmp_path / "all.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["image_id"]: row for row in csv.DictReader(file)}
    assert set(rows) == {"light.jpg", "note.jpg", "'=1+1.jpg"}
    assert rows["light.jpg"]["top"] == "nv"
    assert float(rows["'=1+1.jpg"]["prob_mel"]) > 0.99
    assert (rows["note.jpg"]["decision"], rows["note.jpg"]["problem"]) == ("", "not-an-image")
    page.locator(".remove-all").click()
    playwright.expect(page.locator(RESULT)).to_have_count(0)
    assert page.locator("#overview").is_hidden()


@pytest.fixture(scope="module")
def told_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    bundle = write_bundle(tmp_path_factory.mktemp("told") / "told.onnx", metadata=encoding_of(("age", "sex")))
    with listening_service(load_model(bundle, threads=1), Limits()) as address:
        yield address


def test_what_is_changed_beside_the_images_asks_again(
    open_page: OpenPage, told_service: str, files: dict[str, str]
) -> None:
    page = open_page(service=told_service)
    choose(page, files["light.jpg"])
    playwright.expect(page.locator(RESULT)).to_contain_text("Mole is likeliest")
    page.locator("input[name=age]").fill("90")
    page.locator("input[name=age]").blur()
    playwright.expect(page.locator(RESULT)).to_contain_text("You also gave: age 90")
    playwright.expect(page.locator(RESULT)).to_contain_text("Basal cell carcinoma is likeliest")
    playwright.expect(page.locator(RESULT)).to_contain_text("light.jpg")
    page.locator(".examples a").first.click()
    playwright.expect(page.locator(RESULT)).to_have_count(2)
    playwright.expect(page.locator(RESULT).nth(1)).to_contain_text("You also gave: age 90")
    page.locator("select[name=sex]").select_option("female")
    for place in range(2):
        playwright.expect(page.locator(RESULT).nth(place)).to_contain_text("sex female")


def test_an_answer_to_what_was_known_before_is_dropped(
    open_page: OpenPage, told_service: str, files: dict[str, str]
) -> None:
    page = open_page(service=told_service)
    held: list[playwright.Route] = []
    page.route(f"{told_service}/", lambda route: held.append(route))  # noqa: PLW0108 (Playwright marks it)
    with page.expect_request(lambda sent: sent.method == "POST"):
        page.set_input_files("#image", files["light.jpg"])
    with page.expect_request(lambda sent: sent.method == "POST"):
        page.locator("input[name=age]").fill("90")
        page.locator("input[name=age]").blur()
    for route in held:
        with page.expect_response(lambda answer: answer.request.method == "POST"):
            route.continue_()
    playwright.expect(page.locator(RESULT)).to_have_count(1)
    playwright.expect(page.locator(RESULT)).to_contain_text("You also gave: age 90")


def test_an_age_that_cannot_be_is_said_in_the_words_of_the_form(
    open_page: OpenPage, told_service: str, files: dict[str, str]
) -> None:
    page = open_page(service=told_service)
    page.locator("input[name=age]").fill("200")
    page.set_input_files("#image", files["light.jpg"])
    playwright.expect(page.locator("#status")).to_contain_text("Age: ")
    playwright.expect(page.locator("#status")).to_contain_text("120")
    assert page.locator("article.result").count() == 0


def test_a_wrong_address_gets_a_page_with_a_way_back(open_page: OpenPage) -> None:
    page = open_page("/derm/nothing")
    playwright.expect(page.locator("h1")).to_have_text("There is nothing here")
    assert not serious(page)
    page.get_by_role("link", name="To the page").click()
    playwright.expect(page.locator("#ask")).to_be_visible()


@pytest.mark.parametrize(("width", "height"), [(320, 640), (320, 225)], ids=["phone", "zoom of 400 %"])
def test_nothing_goes_sideways(open_page: OpenPage, files: dict[str, str], width: int, height: int) -> None:
    page = open_page(viewport={"width": width, "height": height})
    assert overflow_px(page) <= 0
    choose(page, *files.values())
    for button in page.locator(".fold:visible").all():
        button.click()
    assert overflow_px(page) <= 0
    wide = page.evaluate(
        """[...document.querySelectorAll('body *')]
            .filter(one => !one.closest('.scroll, .examples ul, pre, .skip'))
            .filter(one => one.getBoundingClientRect().right > innerWidth + 1)
            .map(one => one.outerHTML.slice(0, 80))"""
    )
    assert not wide
    hidden = page.evaluate(
        """[...document.querySelectorAll('.model .scroll')]
            .filter(box => box.scrollWidth > box.clientWidth).map(box => box.innerText)"""
    )
    assert not hidden  # the last column of a table
    page.goto(page.url + "docs")
    assert overflow_px(page) <= 0


def test_errors_are_said(open_page: OpenPage, files: dict[str, str], tmp_path: Path) -> None:
    page = open_page()
    huge = tmp_path / "huge.jpg"
    with closing(huge.open("wb")) as file:
        file.truncate(21 << 20)
    choose(page, str(huge))
    playwright.expect(page.locator(RESULT)).to_contain_text("huge.jpg is larger than 20 MB")
    page.route("**/", lambda route: route.abort())
    page.set_input_files("#image", files["light.jpg"])
    playwright.expect(page.locator(RESULT).nth(1)).to_contain_text("cannot be reached")


def test_a_busy_service_is_asked_again(open_page: OpenPage, files: dict[str, str]) -> None:
    page = open_page()
    seen = []

    def busy_once(route: "playwright.Route") -> None:
        seen.append(1)
        if len(seen) == 1:
            route.fulfill(status=503, headers={"Retry-After": "0.2"}, body="")
        else:
            route.continue_()

    page.route("**/", busy_once)
    page.set_input_files("#image", files["light.jpg"])
    playwright.expect(page.locator(RESULT)).to_contain_text("Mole is likeliest")
    assert len(seen) == 2


def test_dropping_and_pasting(open_page: OpenPage) -> None:
    page = open_page()
    give = """([kind, bytes]) => {
        const transfer = new DataTransfer();
        transfer.items.add(new File([new Uint8Array(bytes)], "given.png", { type: "image/png" }));
        const options = { bubbles: true, cancelable: true };
        const event = kind === "drop"
          ? new DragEvent("drop", { ...options, dataTransfer: transfer })
          : new ClipboardEvent("paste", { ...options, clipboardData: transfer });
        document.body.dispatchEvent(event);
    }"""
    content = list(picture(DARK, form="PNG"))
    page.evaluate(give, ["drop", content])
    playwright.expect(page.locator(RESULT)).to_have_count(1)
    page.evaluate(give, ["paste", content])
    playwright.expect(page.locator(RESULT)).to_have_count(2)


def test_the_answer_can_be_taken_along(open_page: OpenPage, files: dict[str, str], tmp_path: Path) -> None:
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    choose(page, files["dark.png"])
    with page.expect_download() as download:
        page.locator("a[download]").click()
    download.value.save_as(tmp_path / "answer.json")
    answer = json.loads((tmp_path / "answer.json").read_text(encoding="utf-8"))
    assert answer["results"][0]["top"] == "mel"
    page.locator("details.json summary").click()
    page.locator(".copy").click()
    playwright.expect(page.locator("#status")).to_have_text("Copied.")
    assert json.loads(page.evaluate("navigator.clipboard.readText()")) == answer


def test_a_summary_is_one_sheet(open_page: OpenPage, files: dict[str, str]) -> None:
    page = open_page()
    choose(page, files["between.jpg"])
    sheets = page.pdf(format="A4").count(b"/Type /Page\n")
    assert sheets == 1
    page.emulate_media(media="print")
    assert not page.locator("#ask").is_visible()
    playwright.expect(page.locator(".answered")).to_contain_text("not a medical device")


def test_an_example_is_one_click(open_page: OpenPage) -> None:
    page = open_page()
    page.locator(".examples a").first.click()
    playwright.expect(page.locator(RESULT)).to_contain_text("Melanoma is likeliest")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_any_width_and_scheme_is_readable(
    open_page: OpenPage, files: dict[str, str], width: int, scheme: str
) -> None:
    page = open_page(viewport={"width": width, "height": 844}, color_scheme=scheme)
    assert overflow_px(page) <= 0
    choose(page, files["between.jpg"], files["note.jpg"])
    assert overflow_px(page) <= 0
    assert not serious(page)
    ground = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert ground == {"light": "rgb(251, 250, 248)", "dark": "rgb(21, 24, 27)"}[scheme]


def test_the_reference_is_readable(open_page: OpenPage) -> None:
    page = open_page("/docs", viewport={"width": 390, "height": 844})
    assert overflow_px(page) <= 0
    assert not serious(page)


def test_a_keyboard_is_enough(open_page: OpenPage, files: dict[str, str]) -> None:
    page = open_page()
    page.on("filechooser", lambda _: None)  # told to the browser now, not in a race with the key
    page.keyboard.press("Tab")
    playwright.expect(page.locator(".skip")).to_be_focused()
    for _ in range(10):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "image":
            break
    playwright.expect(page.locator("#image")).to_be_focused()
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Space")
    chooser.value.set_files(files["dark.png"])
    playwright.expect(page.locator(RESULT)).to_have_count(1)
    playwright.expect(page.locator("h2:focus")).to_have_count(1)
    page.keyboard.press("Tab")
    playwright.expect(page.locator(".remove")).to_be_focused()
    page.keyboard.press("Tab")
    playwright.expect(page.locator(".heat-switch")).to_be_focused()
    page.keyboard.press("Space")
    playwright.expect(page.locator(".heat-switch")).not_to_be_checked()
    page.keyboard.press("Tab")
    playwright.expect(page.locator(".heat-slider")).to_be_focused()
    page.keyboard.press("ArrowRight")
    playwright.expect(page.locator("image.heat")).to_have_attribute("opacity", "0.61")


def test_without_javascript_the_page_works(open_page: OpenPage, files: dict[str, str]) -> None:
    page = open_page(java_script_enabled=False)
    page.set_input_files("#image", [files["light.jpg"], files["note.jpg"]])
    page.get_by_role("button", name="Analyse").click()
    playwright.expect(page.locator(RESULT)).to_have_count(2)
    playwright.expect(page.locator(RESULT).first).to_contain_text("Mole is likeliest")
    playwright.expect(page.locator(".heat")).to_be_visible()
    playwright.expect(page.locator(".heat-slider")).to_be_hidden()
    page.locator(".heat-switch").uncheck()
    playwright.expect(page.locator(".heat")).to_be_hidden()
    page.locator(".examples a").first.click()
    playwright.expect(page.locator(RESULT)).to_contain_text("Melanoma is likeliest")
