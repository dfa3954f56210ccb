import base64
import logging
import re

import httpx2
import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from lesionwise.bundle.engine import Engine
from serve.conftest import open_client
from serve.drawn_model import DARK, picture

OPEN = ["/health", "/live", "/ready"]
ADDRESSES = ["/", "/docs", "/openapi.json", "/model", "/metrics", *OPEN, "/nothing", "/static/page.js"]


def basic(password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"me:{password}".encode()).decode()}


def test_a_token_keeps_others_out(engine: Engine) -> None:
    with open_client(engine, token="s3cret") as client:  # noqa: S106 (the test's own)
        for headers in ({}, {"Authorization": "Bearer wrong"}, basic("wrong"), {"Authorization": "Basic *"}):
            for address in ADDRESSES:
                answer = client.get(address, headers=headers)
                assert answer.status_code == (200 if address in OPEN else 401)
            refused = client.post("/predict", files={"image": picture()}, headers=headers)
            assert refused.json()["code"] == "no-token"
            assert "Basic" in refused.headers["www-authenticate"]
        for headers in (
            {"Authorization": "Bearer s3cret"},
            {"authorization": "bearer s3cret"},
            basic("s3cret"),
        ):
            assert client.get("/", headers=headers).status_code == 200
            assert client.post("/predict", files={"image": picture()}, headers=headers).status_code == 200


@pytest.mark.parametrize("address", ADDRESSES)
def test_every_answer_has_security_headers(client: TestClient, address: str) -> None:
    headers = client.get(address).headers
    policy = headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "server" not in headers


@pytest.mark.parametrize("address", ADDRESSES)
def test_who_asks_for_the_head_alone_gets_it(live: str, address: str) -> None:
    whole, head = httpx2.get(live + address), httpx2.head(live + address)
    assert (head.status_code, head.content) == (whole.status_code, b"")
    assert head.headers["content-type"] == whole.headers["content-type"]


@pytest.mark.parametrize("address", ["/", "/?example=0", "/docs"])
def test_pages_have_nothing_inline_and_nothing_from_elsewhere(client: TestClient, address: str) -> None:
    html = client.get(address).text
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script>|javascript:", html)
    assert not re.search(r"(src|href|action)=\"(https?:)?//", html)
    for name in ("page.css", "page.js"):
        assert "://" not in client.get(f"/static/{name}").text


def test_the_log_holds_no_name_no_query_and_no_content(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    client.post("/predict?patient=Doe", files={"image": ("john-doe.jpg", picture())})
    client.post("/", files={"image": ("john-doe.jpg", b"john-doe")})
    client.get("/john-doe")
    said = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("lesionwise"))
    assert re.search(r"POST /predict 200 \d", said)
    assert re.search(r"GET other 404", said)
    assert "doe" not in said.lower()


def test_metrics_count_what_was_asked(client: TestClient) -> None:
    def read() -> dict[tuple[str, str], float]:
        families = text_string_to_metric_families(client.get("/metrics").text)
        return {
            (sample.name, "|".join(sorted(sample.labels.values()))): sample.value
            for family in families
            for sample in family.samples
        }

    before = read()
    client.post("/predict", files=[("image", ("a", picture(DARK))), ("image", ("b", picture(DARK)))])
    client.post("/predict", files={"image": b"no"})
    client.post("/predict", files={"image": ("../up", picture(DARK))})
    client.post("/", files=[("image", ("a", b"no")), ("image", ("b", picture(DARK)))])
    client.get("/nowhere")
    after = read()

    def grown(name: str, labels: str) -> float:
        return after[name, labels] - before.get((name, labels), 0)

    assert grown("lesionwise_requests_total", "/predict|200|POST") == 1
    assert grown("lesionwise_requests_total", "/predict|415|POST") == 1
    assert grown("lesionwise_images_total", "answer") == 3
    assert grown("lesionwise_refusals_total", "not-an-image") == 2
    assert grown("lesionwise_refusals_total", "bad-name") == 1
    assert grown("lesionwise_refusals_total", "not-found") == 1
    assert grown("lesionwise_stage_seconds_count", "decode") == 3
    assert after["lesionwise_waiting_images", ""] == 0
    assert any(name == "lesionwise_process_resident_memory_bytes" for name, _ in after)
