import io
import struct
import time
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from lesionwise.bundle.engine import Engine
from lesionwise.serve.limits import Limits
from lesionwise.serve.problems import KINDS
from lesionwise.serve.schema import ProblemDocument
from serve.conftest import Slowed, open_client
from serve.drawn_model import picture


def png_header(width: int, height: int) -> bytes:
    """A PNG that announces a size and brings nearly nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.txt", "a")
    return file.getvalue()


def tiny() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (1, 1)).save(file, "PNG")
    return file.getvalue()


BAD = {
    "nothing": (b"", "no-image"),
    "text": (b"not an image at all", "not-an-image"),
    "gif": (b"GIF89a" + bytes(40), "not-an-image"),
    "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not-an-image"),
    "pdf": (b"%PDF-1.7 " + bytes(100), "not-an-image"),
    "one pixel": (tiny(), "image-size"),
    "a line": (png_header(60_000, 2), "image-size"),
    "bomb": (png_header(50_000, 50_000), "image-size"),
    "big bomb": (png_header(2**31 - 1, 2**31 - 1), "image-size"),
    "cut off": (picture()[:400], "damaged-image"),
    "only a start": (b"\xff\xd8\xff\xe0" + bytes(50), "damaged-image"),
    "empty png": (png_header(200, 200), "damaged-image"),
    "with a zip": (picture() + zipped(), "not-an-image"),
    "with a page": (picture() + b"<html><script>alert(1)</script>", "not-an-image"),
    "with a pdf": (picture(comment=b"%PDF-1.7"), "not-an-image"),
    "with php": (picture(comment=b"<?php system('id'); ?>"), "not-an-image"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_images_are_refused_with_a_problem_document(client: TestClient, name: str) -> None:
    content, code = BAD[name]
    started = time.perf_counter()
    answer = client.post("/predict", files={"image": ("x.jpg", content)})
    took = time.perf_counter() - started
    problem = ProblemDocument.model_validate(answer.json())
    assert problem.code == code, answer.text
    assert problem.status == answer.status_code == KINDS[code].status
    assert answer.headers["content-type"] == "application/problem+json"
    assert took < 2  # milliseconds where nothing else runs
    assert client.post("/predict", files={"image": picture()}).status_code == 200


def test_a_refusal_names_the_image_at_fault(client: TestClient) -> None:
    files = [("image", ("a", picture())), ("image", ("b", b"no")), ("image", ("c", picture()))]
    assert client.post("/predict", files=files).json()["image"] == 1


FORM = b'--b\r\nContent-Disposition: form-data; name="image"; filename="%s"\r\n\r\n%s\r\n--b--\r\n'
NAMES = [
    b"../../etc/passwd",
    b"/etc/passwd",
    b"..\\\\..\\\\boot.ini",
    b"a/b.jpg",
    b"x\x00.jpg",
    b"..%2f..%2fx",
    b"..",
    b"a\tb",
]


@pytest.mark.parametrize("name", NAMES)
def test_names_with_a_path_are_refused(client: TestClient, name: bytes) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    answer = client.post("/predict", content=FORM % (name, picture()), headers=headers)
    assert answer.status_code == 400
    assert answer.json()["code"] in {"bad-name", "bad-request"}
    assert "etc" not in answer.text


@pytest.mark.parametrize(
    "name", [b"x.jpg", b"Mole (3).jpeg", b'a \\"quoted\\" name.png', b"", "Mäl.jpg".encode()]
)
def test_plain_names_are_let_in(client: TestClient, name: bytes) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    assert client.post("/predict", content=FORM % (name, picture()), headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("body", "kind", "code"),
    [
        (b"{}", "application/json", "not-multipart"),
        (picture(), "image/jpeg", "not-multipart"),
        (b"", "multipart/form-data", "bad-request"),
        (b"", "multipart/form-data; boundary=b", "bad-request"),
        (b"--b--\r\n", "multipart/form-data; boundary=b", "no-image"),
        (b"--c\r\n\r\n", "multipart/form-data; boundary=b", "bad-request"),
        (FORM[:-8] % (b"x", b"y"), "multipart/form-data; boundary=b", "bad-request"),
        (FORM % (b"x", b"") * 1, "multipart/form-data; boundary=b", "no-image"),
        (
            (FORM % (b"x", b"y")).replace(b'"image"', b'"other"'),
            "multipart/form-data; boundary=b",
            "no-image",
        ),
    ],
)
def test_what_is_no_upload_is_refused(client: TestClient, body: bytes, kind: str, code: str) -> None:
    answer = client.post("/predict", content=body, headers={"Content-Type": kind})
    assert answer.json()["code"] == code
    assert answer.status_code == KINDS[code].status


def test_limits_hold(engine: Engine) -> None:
    limits = Limits(image_bytes=50_000, request_bytes=200_000, images=2)
    with open_client(engine, limits=limits) as client:
        big = picture() + bytes(60_000)
        assert client.post("/predict", files={"image": big}).json()["code"] == "too-many-bytes"
        three = [("image", (str(number), picture())) for number in range(3)]
        assert client.post("/predict", files=three).json()["code"] == "too-many-images"
        huge = client.post("/predict", files={"image": bytes(300_000)})
        assert (huge.status_code, huge.json()["code"]) == (413, "too-many-bytes")

        def endless() -> "list[bytes]":
            return [b"--b\r\n", *[bytes(10_000)] * 30]

        kind = {"Content-Type": "multipart/form-data; boundary=b"}
        unannounced = client.post("/predict", content=iter(endless()), headers=kind)
        assert unannounced.status_code in {400, 413}


def test_more_than_the_service_can_hold_is_sent_away_with_a_time_to_come_back(engine: Engine) -> None:
    slow = Slowed(engine, seconds=0.3)
    with open_client(slow, limits=Limits(waiting=2)) as client, ThreadPoolExecutor(8) as threads:
        asked = [threads.submit(client.post, "/predict", files={"image": picture()}) for _ in range(8)]
        answers = [one.result() for one in asked]
        refused = [one for one in answers if one.status_code == 503]
        assert refused
        assert len(refused) < 8
        assert all(int(one.headers["retry-after"]) >= 1 for one in refused)
        assert refused[0].json()["code"] == "busy"
        assert client.get("/health").json()["waiting"] == 0


def test_bytes_that_requests_hold_together_are_bounded(engine: Engine) -> None:
    slow = Slowed(engine, seconds=0.3)
    with open_client(slow, limits=Limits(held_bytes=5_000)) as client, ThreadPoolExecutor(6) as threads:
        asked = [threads.submit(client.post, "/predict", files={"image": picture()}) for _ in range(6)]
        assert {one.result().status_code for one in asked} == {200, 503}


def test_concurrent_requests_share_batches(engine: Engine) -> None:
    slow = Slowed(engine, seconds=0.1)
    with open_client(slow) as client, ThreadPoolExecutor(8) as threads:
        asked = [threads.submit(client.post, "/predict", files={"image": picture()}) for _ in range(8)]
        assert {one.result().status_code for one in asked} == {200}
    assert sum(slow.batches) == 9  # eight and the service's own
    assert max(slow.batches) > 1


def test_a_mistake_inside_is_a_problem_document_and_the_service_lives_on(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    failing = Slowed(engine, failure=RuntimeError("holds secret-name.jpg"))
    with open_client(failing) as client:
        answer = client.post("/predict", files={"image": picture()})
        assert (answer.status_code, answer.json()["code"]) == (500, "internal")
        assert client.get("/health").status_code == 200
    assert "RuntimeError" in caplog.text
    assert "secret-name" not in caplog.text + answer.text


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nothing", 404), ("GET", "/predict", 405)])
def test_wrong_addresses_get_problem_documents(
    client: TestClient, method: str, path: str, status: int
) -> None:
    answer = client.request(method, path)
    assert (answer.status_code, answer.json()["status"]) == (status, status)
    assert client.get("/static/../app.py").status_code == 404
    assert client.get("/static/%2e%2e/app.py").status_code == 404
    assert client.get("/examples/99").status_code == 404
    assert client.get("/?example=99").status_code == 404
    assert client.get("/?example=x").status_code == 400
