"""The standard protocol, asked by hand and by a client that others wrote."""

import base64
import json
import struct
from pathlib import Path

import httpx2
import numpy as np
import pytest
from fastapi.testclient import TestClient

from lesionwise.bundle.engine import load_model
from lesionwise.data.images import read_image
from lesionwise.data.metadata import encoding_of
from serve.conftest import open_client
from serve.drawn_model import BETWEEN, DARK, HEIGHT, LIGHT, WIDTH, picture, write_bundle

INFER = "/v2/models/drawn/infer"


def files_in_json(*contents: bytes, **more: object) -> dict[str, object]:
    data = [base64.b64encode(content).decode() for content in contents]
    return {"inputs": [{"name": "image", "datatype": "BYTES", "shape": [len(data)], "data": data}], **more}


def outputs(answer: httpx2.Response) -> dict[str, np.ndarray]:
    assert answer.status_code == 200, answer.text
    return {one["name"]: np.array(one["data"]).reshape(one["shape"]) for one in answer.json()["outputs"]}


def refusal(answer: httpx2.Response) -> tuple[int, str]:
    problem = answer.json()
    assert problem["error"] == problem["detail"]
    return answer.status_code, problem["code"]


def answered(client: TestClient) -> float:
    """Return how many images were answered, by the service's own counters."""
    lines = client.get("/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("lesionwise_images_total"))


def test_the_server_and_its_model_describe_themselves(client: TestClient) -> None:
    assert client.get("/v2").json()["extensions"] == ["binary_tensor_data"]
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"ready": True}
    assert client.get("/v2/models/drawn/ready").json() == {"ready": True}
    model = client.get("/v2/models/drawn").json()
    assert model["inputs"] == [{"name": "image", "datatype": "BYTES", "shape": [-1]}]
    assert {"name": "probabilities", "datatype": "FP32", "shape": [-1, 7]} in model["outputs"]
    assert client.get("/v2/models/other").status_code == 404


def test_files_get_the_answers_of_our_own_api(client: TestClient) -> None:
    contents = [picture(DARK), picture(LIGHT), picture(BETWEEN)]
    own = client.post("/predict", files=[("image", one) for one in contents]).json()["results"]
    answer = client.post(INFER, json=files_in_json(*contents, id="7"))
    found = outputs(answer)
    assert answer.json()["id"] == "7"
    assert found["top"].tolist() == [one["top"] for one in own]
    assert found["decision"].tolist() == [one["decision"] for one in own]
    assert found["prediction_set"].tolist() == [",".join(one["prediction_set"]) for one in own]
    assert np.allclose(found["probabilities"], [list(one["probabilities"].values()) for one in own])
    assert np.allclose(found["ood_score"], [one["ood_score"] for one in own])


def test_pixels_get_the_answers_of_their_file(client: TestClient) -> None:
    content = picture(DARK, form="PNG")
    pixels = read_image(content, (HEIGHT, WIDTH))[None]
    tensor = {
        "name": "image",
        "datatype": "UINT8",
        "shape": list(pixels.shape),
        "data": pixels.ravel().tolist(),
    }
    wanted = [{"name": "probabilities"}]
    before = answered(client)
    given = outputs(client.post(INFER, json={"inputs": [tensor], "outputs": wanted}))
    assert given.keys() == {"probabilities"}
    assert answered(client) == before + 1
    file = outputs(client.post(INFER, json=files_in_json(content)))
    assert np.array_equal(given["probabilities"], file["probabilities"])


def test_binary_tensors_follow_the_json_part(client: TestClient) -> None:
    contents = [picture(DARK), picture(LIGHT)]
    binary = b"".join(struct.pack("<I", len(one)) + one for one in contents)
    tensor = {
        "name": "image",
        "datatype": "BYTES",
        "shape": [2],
        "parameters": {"binary_data_size": len(binary)},
    }
    head = json.dumps({"inputs": [tensor]}).encode()
    headers = {"Inference-Header-Content-Length": str(len(head))}
    found = outputs(client.post(INFER, content=head + binary, headers=headers))
    assert found["top"].tolist() == ["mel", "nv"]
    for broken in (head + binary[:-1], head + binary + b"x"):
        assert refusal(client.post(INFER, content=broken, headers=headers)) == (400, "bad-request")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 400, "bad-request"),
        ({"inputs": []}, 400, "bad-request"),
        (
            {"inputs": [{"name": "x", "datatype": "BYTES", "shape": [1], "data": ["eA=="]}]},
            400,
            "bad-request",
        ),
        (
            {"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": ["*"]}]},
            400,
            "bad-request",
        ),
        (
            {"inputs": [{"name": "image", "datatype": "BYTES", "shape": [2], "data": ["eA=="]}]},
            400,
            "bad-request",
        ),
        ({"inputs": [{"name": "image", "datatype": "FP32", "shape": [1], "data": [1]}]}, 400, "bad-request"),
        ({"inputs": [{"name": "image", "datatype": "UINT8", "shape": [1, 2, 2, 3]}]}, 400, "bad-request"),
        (
            {"inputs": [{"name": "image", "datatype": "BYTES", "shape": [99], "data": []}]},
            413,
            "too-many-images",
        ),
        (files_in_json(b"no image"), 415, "not-an-image"),
        (files_in_json(picture()[:200]), 422, "damaged-image"),
        (files_in_json(picture(), outputs=[{"name": "nothing"}]), 400, "bad-request"),
        (
            {"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1] * 5, "data": ["eA=="]}]},
            400,
            "bad-request",
        ),
        (
            {"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": [[]] * 100_000}]},
            413,
            "too-many-bytes",
        ),
    ],
)
def test_what_is_wrong_is_refused(
    client: TestClient, body: dict[str, object], status: int, code: str
) -> None:
    assert refusal(client.post(INFER, json=body)) == (status, code)


def test_what_is_known_besides_comes_as_parameters(tmp_path: Path) -> None:
    engine = load_model(write_bundle(tmp_path / "told.onnx", metadata=encoding_of(("age",))), threads=1)
    with open_client(engine) as client:
        plain = outputs(client.post(INFER, json=files_in_json(picture())))
        told = outputs(client.post(INFER, json=files_in_json(picture(), parameters={"age": 90})))
        assert not np.allclose(plain["probabilities"], told["probabilities"])
        bad = client.post(INFER, json=files_in_json(picture(), parameters={"age": 900}))
        assert refusal(bad) == (422, "bad-metadata")


def test_a_public_client_of_the_protocol_is_answered(live: str) -> None:
    triton = pytest.importorskip("tritonclient.http", reason="tritonclient is not installed")
    with triton.InferenceServerClient(live.removeprefix("http://")) as client:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("drawn")
        assert client.get_model_metadata("drawn")["outputs"][0]["name"] == "probabilities"
        files = triton.InferInput("image", [2], "BYTES")
        files.set_data_from_numpy(np.array([picture(DARK), picture(LIGHT)], dtype=object))
        answer = client.infer("drawn", [files])
        assert answer.as_numpy("probabilities").shape == (2, 7)
        assert [str(one) for one in answer.as_numpy("top")] == ["mel", "nv"]
        pixels = triton.InferInput("image", [1, HEIGHT, WIDTH, 3], "UINT8")
        pixels.set_data_from_numpy(read_image(picture(DARK), (HEIGHT, WIDTH))[None])
        wanted = [triton.InferRequestedOutput("probabilities")]
        assert client.infer("drawn", [pixels], outputs=wanted).as_numpy("probabilities")[0].argmax() == 4
        bad = triton.InferInput("image", [1], "BYTES")
        bad.set_data_from_numpy(np.array([b"no image"], dtype=object))
        with pytest.raises(Exception, match="Its first bytes are not those"):
            client.infer("drawn", [bad])
