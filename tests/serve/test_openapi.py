import re
from typing import Any

import pytest
import schemathesis
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from jsonschema_rs import validator_for
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import positive_data_acceptance

from conftest import ROOT
from lesionwise.serve.problems import KINDS
from serve.drawn_model import picture

PATHS = [
    *("/predict", "/model", "/live", "/ready", "/health", "/metrics"),
    *("/v2", "/v2/health/live", "/v2/health/ready", "/v2/models/{name}", "/v2/models/{name}/ready"),
    "/v2/models/{name}/infer",
]


def test_every_operation_is_described_with_examples(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    assert set(document["paths"]) == set(PATHS)
    for methods in document["paths"].values():
        for operation in methods.values():
            assert operation["summary"]
            assert operation["description"]
            for status, response in operation["responses"].items():
                assert response["description"]
                for media, content in response["content"].items():
                    assert (status == "200") == (media != "application/problem+json")
                    if status != "200":
                        assert content["examples"]


def test_answers_and_problems_fit_the_document(client: TestClient) -> None:
    document = client.get("/openapi.json").json()

    def valid(name: str, value: object) -> bool:
        schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
        return bool(validator_for(schema).is_valid(value))

    assert valid("Predictions", client.post("/predict", files={"image": picture()}).json())
    assert valid("ProblemDocument", client.post("/predict", files={"image": b"x"}).json())
    assert valid("ModelInfo", client.get("/model").json())
    assert valid("Health", client.get("/health").json())
    assert not valid("Health", {})


def test_the_page_of_the_api_names_every_address_and_problem(client: TestClient) -> None:
    html = client.get("/docs").text
    for code, kind in KINDS.items():
        assert f'id="{code}"' in html
        assert kind.title in html.replace("&#39;", "'")
    for address in client.get("/openapi.json").json()["paths"]:
        assert address in html
    anchors = set(re.findall(r' id="([\w-]+)"', html))
    assert set(re.findall(r'href="#([\w-]+)"', html)) <= anchors


@pytest.mark.parametrize("page", ["http-api.md"])
def test_the_written_page_names_every_problem_and_field(client: TestClient, page: str) -> None:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    assert not [code for code in KINDS if f"`{code}`" not in text]
    assert not [field for field in schemas["Result"]["properties"] if f"`{field}`" not in text]


@pytest.mark.parametrize("address", PATHS)
def test_schemathesis_finds_no_answer_that_the_document_does_not_foresee(live: str, address: str) -> None:
    schema = schemathesis.openapi.from_url(f"{live}/openapi.json").include(path=address)
    (found,) = schema.get_all_operations()
    assert isinstance(found, Ok)
    operation = found.ok()

    @given(case=operation.as_strategy())
    @settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    def probe(case: schemathesis.Case[Any]) -> None:
        # A picture of one pixel fits the document, and is refused.
        case.call_and_validate(excluded_checks=[positive_data_acceptance])

    probe()
