import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from conftest import ROOT
from lesionwise.bundle.description import Provenance
from lesionwise.bundle.engine import Engine, load_model
from lesionwise.data.collection import HAM10000_FINGERPRINT
from lesionwise.data.metadata import encoding_of
from lesionwise.evaluation.calibration.record import ClassQuantile, PredictionSets
from lesionwise.labels import CODES
from lesionwise.page.palette import DARK as DARK_SCHEME
from lesionwise.page.palette import LIGHT as LIGHT_SCHEME
from lesionwise.serve.app import create_app
from lesionwise.serve.examples import drawn_examples
from lesionwise.serve.page import percent
from lesionwise.serve.service import Service
from lesionwise.serve.strings import DIAGNOSES, TEXT
from serve.conftest import open_client
from serve.drawn_model import BETWEEN, BLUE, DARK, LIGHT, calibration, describe, picture, write_bundle

FOLDER = ROOT / "src" / "lesionwise" / "serve"
TEMPLATES = sorted((FOLDER / "templates").glob("*.html"))


class Text(HTMLParser):
    """The words that a reader of a page sees."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def words_of(html: str) -> str:
    reader = Text()
    reader.feed(html)
    return " ".join(" ".join(reader.words).split())


def ask(client: TestClient, *contents: bytes) -> str:
    answer = client.post("/", files=[("image", ("x", one)) for one in contents])
    assert answer.status_code == 200
    return words_of(answer.text)


def test_the_page_says_what_it_is_before_it_is_asked(client: TestClient) -> None:
    words = words_of(client.get("/").text)
    for key in ("standing", "through", "limits_unknown", "doctor", "model_title"):
        assert TEXT[key] in words
    assert "0.700" in words
    assert "0.660 to 0.740" in words
    assert "CC0-1.0" in words


def test_an_answer_is_said_without_javascript(client: TestClient) -> None:
    words = ask(client, picture(LIGHT))
    assert words.index(TEXT["input_check"]) < words.index("Mole is likeliest")
    assert TEXT["check_known"] in words
    for code in CODES:
        assert DIAGNOSES[code].name in words
        assert DIAGNOSES[code].about in words
    assert "Not excluded: mole." in words
    assert "below the threshold of 20.0\xa0%".replace("\xa0", " ") in words.replace("\xa0", " ")
    assert "found 90 % (80 % to 95 %) of melanomas" in words.replace("\xa0", " ")


def test_uncertainty_and_rejection_are_answers(client: TestClient) -> None:
    assert TEXT["uncertain_title"] in ask(client, picture(BETWEEN))
    rejected = ask(client, picture(BLUE))
    assert TEXT["rejected_title"] in rejected
    assert TEXT["check_unknown"] in rejected
    assert TEXT["probabilities"] not in rejected  # no number tempts


def test_several_images_are_listed_and_a_bad_one_does_not_stop_the_others(client: TestClient) -> None:
    words = ask(client, picture(LIGHT), b"no image", picture(DARK))
    assert "Image 2: The file is not an image of a known format" in words
    assert "Mole is likeliest" in words
    assert "Melanoma is likeliest" in words


def test_a_page_of_refusals_alone_has_their_status(client: TestClient) -> None:
    answer = client.post("/", files={"image": b"no"})
    assert answer.status_code == 415
    assert "text/html" in answer.headers["content-type"]
    assert client.post("/", data={"x": "1"}).status_code == 415
    assert client.post("/", files={"image": ("", b"")}).status_code in {400, 422}


def test_an_example_is_answered_at_an_address_of_its_own(client: TestClient) -> None:
    assert "Melanoma is likeliest" in words_of(client.get("/?example=0").text)
    assert client.get("/examples/0").headers["content-type"] == "image/jpeg"


def test_the_script_gets_results_alone(client: TestClient) -> None:
    html = client.post("/", files={"image": picture()}, headers={"X-Lesionwise": "results"}).text
    assert html.count("<article") == 1
    assert "<html" not in html


def test_colours_are_those_of_the_report(client: TestClient) -> None:
    css = client.get("/palette.css").text
    assert all(f"--{name}:{color};" in css for name, color in [*LIGHT_SCHEME.items(), *DARK_SCHEME.items()])


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_every_word_of_a_template_is_a_string(path: object) -> None:
    text = path.read_text(encoding="utf-8")  # type: ignore[attr-defined]
    text = re.sub(r"\{%.*?%\}|\{\{.*?\}\}|\{#.*?#\}", " ", text, flags=re.DOTALL)
    text = re.sub(r"<(script|style|code)\b.*?</\1>", " ", text, flags=re.DOTALL)
    seen = re.findall(r"[A-Za-z]{3,}", words_of(text))
    assert set(seen) <= {"openapi", "json", "JSON", "list"}, seen


def test_every_string_is_used() -> None:
    sources = "".join(
        path.read_text(encoding="utf-8")
        for path in [*TEMPLATES, *FOLDER.glob("*.py"), *FOLDER.glob("static/*.js")]
    )
    unused = [
        key
        for key in TEXT
        if not re.search(rf"\bt\.{key}\b|[\"']{key}[\"']|\[name\]", sources) and key not in sources
    ]
    assert not unused


@pytest.mark.parametrize(
    ("part", "said"), [(0.0, "< 1 %"), (0.5, "50 %"), (0.9951, "> 99 %"), (0.994, "99 %")]
)
def test_no_part_is_said_to_be_certain(part: float, said: str) -> None:
    assert percent(part).replace("\xa0", " ") == said


def page_of(tmp_path: Path, *contents: bytes, **changes: object) -> str:
    """The words of the page of a bundle with a changed description, asked for some images."""
    engine = load_model(write_bundle(tmp_path / "changed.onnx", **changes), threads=1)
    with open_client(engine) as client:
        asked = ask(client, *contents) if contents else ""
        return words_of(client.get("/").text) + asked + client.get("/openapi.json").text


def made(**changes: object) -> Provenance:
    """Where weights come from that were made with some data."""
    fields = {"data_fingerprint": "1" * 64, "split_fingerprint": "2" * 64, "images": 1234, "lesions": 987}
    return Provenance.model_validate(
        fields | {"recipes": (), "seeds": (), "checkpoints": (), "packages": {}} | changes
    )


def test_a_model_that_was_never_calibrated_is_not_called_calibrated(tmp_path: Path) -> None:
    words = page_of(tmp_path, picture(LIGHT), picture(DARK), calibration=None)
    assert "alibrated prob" not in words
    assert TEXT["lead_uncalibrated"] in words
    assert TEXT["probabilities_raw"] in words
    assert TEXT["uncalibrated"] in words
    assert TEXT["calibrated"] not in words
    assert TEXT["in_set_tag"] in words
    assert words.count(TEXT["in_set_tag"]) >= 2 * len(CODES)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"collection": "HAM10000", "provenance": made()}, TEXT["limits_HAM10000"]),
        ({"provenance": made(data_fingerprint=HAM10000_FINGERPRINT)}, TEXT["limits_HAM10000"]),
        ({"collection": "phantom", "provenance": made()}, TEXT["limits_phantom"]),
        ({"collection": "other", "provenance": made()}, "1,234 images of 987 lesions"),
        ({"provenance": made()}, "1,234 images of 987 lesions"),
        ({"origin": "onnx"}, TEXT["limits_unknown"]),
    ],
)
def test_what_it_learnt_from_comes_from_its_description(
    tmp_path: Path, changes: dict[str, object], expected: str
) -> None:
    words = page_of(tmp_path, picture(LIGHT), **changes)
    assert expected in words
    assert ("Austria" in words) == (expected == TEXT["limits_HAM10000"])
    assert words.count(TEXT["phantom_title"]) == (3 if changes.get("collection") == "phantom" else 0)


def test_a_score_that_others_measured_is_not_called_a_test_of_ours(tmp_path: Path) -> None:
    words = page_of(tmp_path, origin="onnx")
    assert "measured by whoever imported the model" in words
    assert "no choice was made" not in words


def test_how_many_are_turned_away_by_mistake_is_what_was_measured(tmp_path: Path) -> None:
    assert TEXT["rejected_unmeasured"] in page_of(tmp_path, picture(BLUE))
    scores = describe().scores["test"].model_copy(update={"accepted": 0.96})
    assert "turned away 4 % of the lesion images" in page_of(tmp_path, picture(BLUE), scores={"test": scores})


def test_every_bar_has_its_tag_and_the_order_is_explained(tmp_path: Path) -> None:
    quantiles = {
        code: ClassQuantile(lesions=40, quantile=0.999 if code in {"df", "mel"} else 0.2) for code in CODES
    }
    sets = PredictionSets(rule="lac", coverage=0.9, classes=quantiles)
    engine = load_model(
        write_bundle(tmp_path / "x.onnx", calibration=calibration(prediction_sets=sets)), threads=1
    )
    with open_client(engine) as client:
        html = client.post("/", files={"image": picture(BETWEEN)}).text
    assert html.count('<p class="bar-head"><span><span class="name">') == len(CODES)
    tags = re.findall(r'class="tag (in_set|out_of_set|no_promise)"', html)
    assert len(tags) == len(CODES)
    assert "out_of_set" in tags[: len(tags) - tags[::-1].index("in_set")]
    assert TEXT["set_order"] in words_of(html)


def test_the_notice_stands_beside_every_answer(client: TestClient) -> None:
    html = client.post("/", files=[("image", picture(LIGHT)), ("image", picture(BLUE))]).text
    for article in re.findall(r"<article.*?</article>", html, re.DOTALL):
        assert TEXT["notice"] in article


def test_words_for_people_name_no_address_of_the_api(tmp_path: Path) -> None:
    engine = load_model(write_bundle(tmp_path / "told.onnx", metadata=encoding_of(("age",))), threads=1)
    with open_client(engine) as client:
        words = words_of(client.post("/", files={"image": picture()}, data={"age": "200"}).text)
    assert "years from 0 to 120" in words
    assert "GET /model" not in words


def test_drawn_examples_are_offered_and_called_drawn(engine: Engine) -> None:
    examples = drawn_examples()
    assert len(examples) == 3
    with TestClient(create_app(Service(engine, decoders=1), examples=examples)) as client:
        assert TEXT["drawn"] in words_of(client.get("/").text)
        for number in range(3):
            assert client.get(f"/?example={number}").status_code == 200
