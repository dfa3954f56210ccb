from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from lesionwise.bundle.engine import load_model
from lesionwise.data.metadata import encoding_of
from serve.conftest import open_client
from serve.drawn_model import LIGHT, picture, write_bundle

FIELDS = encoding_of(("age", "sex", "localization"))


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A client of a service whose model may be told more."""
    path = write_bundle(tmp_path_factory.mktemp("told") / "m.onnx", metadata=FIELDS)
    with open_client(load_model(path, threads=1)) as client:
        yield client


def tops(answer: object) -> list[str]:
    assert answer.status_code == 200, answer.text  # type: ignore[attr-defined]
    return [result["top"] for result in answer.json()["results"]]  # type: ignore[attr-defined]


FILES = [("image", ("a.jpg", picture(LIGHT))), ("image", ("b.jpg", picture(LIGHT)))]


def test_fields_hold_for_all_images_of_a_request_and_may_be_left_out(told: TestClient) -> None:
    assert tops(told.post("/predict", files=FILES)) == ["nv", "nv"]
    assert tops(told.post("/predict", files=FILES, data={"age": "70"})) == ["bcc", "bcc"]
    assert tops(told.post("/predict", files=FILES, data={"age": "", "sex": "unknown"})) == ["nv", "nv"]
    assert tops(told.post("/predict", files=FILES, data={"dx_type": "histo"})) == ["nv", "nv"]


@pytest.mark.parametrize(
    ("data", "detail"),
    [
        ({"sex": "secret"}, "Expected sex to be female or male."),
        ({"age": "-1"}, "Expected age to be years from 0 to 120."),
        ({"localization": "x" * 65}, "The field “localization” has more than 64 bytes."),
        ({"sex": "\ud83d".encode("utf-8", "surrogatepass")}, "Expected sex to be female or male."),
    ],
)
def test_a_value_that_the_model_does_not_know_is_refused_and_not_repeated(
    told: TestClient, data: dict[str, str], detail: str
) -> None:
    answer = told.post("/predict", files=FILES, data=data)
    assert answer.status_code == 422
    assert answer.json()["detail"] == detail
    assert answer.json()["code"] == "bad-metadata"


def test_a_field_that_is_there_twice_is_refused(told: TestClient) -> None:
    answer = told.post("/predict", files=FILES, data={"age": ["40", "50"]})
    assert (answer.status_code, answer.json()["detail"]) == (400, "The field “age” occurs twice.")


def test_the_page_asks_for_what_the_model_takes_and_says_what_it_was_told(told: TestClient) -> None:
    page = told.get("/").text
    assert '<select name="sex">' in page
    assert '<input type="number" name="age" min="0" max="120"' in page
    assert "<option>lower extremity</option>" in page
    answer = told.post("/", files=FILES[:1], data={"age": "70", "sex": "", "localization": "back"}).text
    assert "You also gave: age 70, site back." in answer
    assert "You also gave" not in told.post("/", files=FILES[:1]).text


def test_the_openapi_document_has_the_fields_with_their_values(told: TestClient) -> None:
    form = told.get("/openapi.json").json()["paths"]["/predict"]["post"]["requestBody"]["content"]
    properties = form["multipart/form-data"]["schema"]["properties"]
    assert properties["age"]["maximum"] == 120
    assert properties["sex"]["enum"] == ["female", "male", ""]


def test_a_model_of_images_alone_skips_such_fields_and_asks_for_none(client: TestClient) -> None:
    assert tops(client.post("/predict", files=FILES, data={"age": "old"})) == ["nv", "nv"]
    assert "besides" not in client.get("/").text
    form = client.get("/openapi.json").json()["paths"]["/predict"]["post"]["requestBody"]["content"]
    assert list(form["multipart/form-data"]["schema"]["properties"]) == ["image"]
