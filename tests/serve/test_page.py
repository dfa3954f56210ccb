import re
from html.parser import HTMLParser

import pytest
from fastapi.testclient import TestClient

from conftest import ROOT
from lesionwise.labels import CODES
from lesionwise.page.palette import DARK as DARK_SCHEME
from lesionwise.page.palette import LIGHT as LIGHT_SCHEME
from lesionwise.serve.page import percent
from lesionwise.serve.strings import DIAGNOSES, TEXT
from serve.drawn_model import BETWEEN, BLUE, DARK, LIGHT, picture

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
    for key in ("standing", "through", "limits", "doctor", "model_title"):
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
    assert "Image 2: The file is not an image that is read here" in words
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
