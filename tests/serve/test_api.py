import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from lesionwise.bundle.engine import Engine, load_model
from lesionwise.errors import BundleError
from lesionwise.labels import CODES
from lesionwise.serve.app import create_app
from lesionwise.serve.heatmap import locate_view
from lesionwise.serve.schema import EXAMPLE, ModelInfo, Predictions
from lesionwise.serve.service import Service
from serve.conftest import Slowed, open_client
from serve.drawn_model import BETWEEN, BLUE, DARK, LIGHT, calibration, describe, picture, write_bundle


def ask(client: TestClient, *contents: bytes, **query: str) -> dict[str, Any]:
    answer = client.post("/predict", files=[("image", ("x.jpg", one)) for one in contents], params=query)
    assert answer.status_code == 200, answer.text
    Predictions.model_validate(answer.json())
    return dict(answer.json())


def test_an_answer_has_the_documented_form(client: TestClient) -> None:
    result = ask(client, picture(LIGHT))["results"][0]
    assert result["decision"] == "answer"
    assert result["top"] == "nv"
    assert result["prediction_set"] == ["nv"]
    assert sum(result["probabilities"].values()) == pytest.approx(1, abs=1e-4)
    malignant = sum(result["probabilities"][code] for code in ("akiec", "bcc", "mel"))
    assert result["malignant_probability"] == pytest.approx(malignant, abs=1e-4)
    assert result["above_melanoma_threshold"] is False
    assert result["coverage"] == 0.9


def test_images_are_answered_in_their_order(client: TestClient) -> None:
    answered = ask(client, picture(DARK), picture(BLUE), picture(LIGHT), picture(BETWEEN))
    said = [(one["image"], one["decision"], one["top"]) for one in answered["results"]]
    assert said == [
        (0, "answer", "mel"),
        (1, "not_a_lesion_image", said[1][2]),
        (2, "answer", "nv"),
        (3, "uncertain", said[3][2]),
    ]
    assert set(answered["results"][3]["prediction_set"]) == {"mel", "nv"}
    assert answered["model"].items() <= client.get("/model").json().items()


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF", "BMP"])
def test_five_formats_are_read(client: TestClient, form: str) -> None:
    assert ask(client, picture(DARK, form=form))["results"][0]["top"] == "mel"


def test_the_service_says_what_the_engine_says(client: TestClient, engine: Engine) -> None:
    content = picture(BETWEEN, (230, 140))
    served = ask(client, content)["results"][0]["probabilities"]
    direct = engine.predict(content).probabilities[0]
    assert [served[code] for code in CODES] == pytest.approx(direct.tolist(), abs=1e-6)


def test_a_lone_image_is_answered_by_the_engine_that_has_all_cores(engine: Engine) -> None:
    shared, alone = Slowed(engine), Slowed(engine)
    with TestClient(create_app(Service(shared, alone=alone, decoders=1))) as client:
        assert ask(client, picture(DARK))["results"][0]["top"] == "mel"
    assert alone.batches == [1, 1]  # the service's own, and this
    assert shared.batches == [1]


def heatmap_of(result: dict[str, Any]) -> Image.Image:
    kind, _, content = result["heatmap"].partition(",")
    assert kind == "data:image/png;base64"
    return Image.open(io.BytesIO(base64.b64decode(content)))


def test_a_heatmap_has_the_shape_of_the_image_and_is_clear_where_the_network_does_not_look(
    client: TestClient,
) -> None:
    result = ask(client, picture(DARK, (400, 120)))["results"][0]
    heat = heatmap_of(result)
    assert heat.width / heat.height == pytest.approx(400 / 120, rel=0.02)
    alpha = np.asarray(heat.convert("RGBA"))[..., 3]
    view = result["view"]
    assert view["width"] == pytest.approx(160 / 400, abs=1e-3)
    left, right = (round(part * heat.width) for part in (view["left"], view["left"] + view["width"]))
    assert alpha[:, : left - 1].max() == 0
    assert alpha[:, right + 1 :].max() == 0
    assert alpha[:, left:right].max() > 200


def test_a_heatmap_is_brightest_on_what_speaks_for_the_answer(client: TestClient) -> None:
    alpha = np.asarray(heatmap_of(ask(client, picture(DARK))["results"][0]).convert("RGBA"))[..., 3]
    spot = np.unravel_index(alpha.argmax(), alpha.shape)
    height, width = alpha.shape
    assert height / 3 - 12 <= spot[0] <= height / 2 + 12
    assert width / 4 - 12 <= spot[1] <= width / 2 + 12


@pytest.mark.parametrize(
    ("zoom", "size", "expected"),
    [
        (1.0, (160, 120), (0, 0, 1, 1)),
        (1.0, (320, 120), (0.25, 0, 0.5, 1)),
        (2.0, (160, 120), (0.25, 0.25, 0.5, 0.5)),
    ],
)
def test_the_view_is_the_part_that_the_graph_enlarges(
    zoom: float, size: tuple[int, int], expected: tuple[float, ...]
) -> None:
    read = describe().input.model_copy(update={"zoom": zoom})
    view = locate_view(describe(input=read), *size)
    assert view is not None
    assert (view.left, view.top, view.width, view.height) == pytest.approx(expected)


def test_an_image_that_was_turned_is_turned_back(client: TestClient) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    result = ask(client, picture(DARK, (160, 120), exif=exif))["results"][0]
    heat = heatmap_of(result)
    assert heat.height > heat.width
    assert result["view"]["width"] == pytest.approx(1)


def test_a_heatmap_is_drawn_only_where_it_is_wanted(client: TestClient) -> None:
    assert ask(client, picture(), heatmap="false")["results"][0]["heatmap"] is None


def test_a_model_that_was_never_calibrated_has_no_sets(tmp_path: Path) -> None:
    path = write_bundle(tmp_path / "raw.onnx", calibration=None, ood_cutoff=None, scores={})
    with open_client(load_model(path, threads=1)) as client:
        result = ask(client, picture(BETWEEN))["results"][0]
        assert result["prediction_set"] is result["coverage"] is result["above_melanoma_threshold"] is None
        assert "was not calibrated" in client.post("/", files={"image": picture()}).text


def test_a_model_with_fewer_bits_than_were_tested_points_to_its_card(tmp_path: Path) -> None:
    check = {"images": 1200, "changed": 4, "largest_difference": 0.01}
    facts = {"scores": {}, "precision": "fp16", "precision_check": check}
    for card, said in (("Read me.", "lower precision (fp16)"), ("", "Nobody knows how good it is.")):
        path = write_bundle(tmp_path / f"half{len(card)}.onnx", card=card, **facts)
        with open_client(load_model(path, threads=1)) as client:
            page = client.get("/").text
        assert said in page
        assert ("Of 1,200 images kept for calibration, 4 get another answer" in page) == bool(card)


def test_a_diagnosis_without_promise_is_named_on_the_page(tmp_path: Path) -> None:
    sets = calibration().prediction_sets.model_dump()
    sets["classes"]["df"]["quantile"] = "no promise for this class"
    path = write_bundle(tmp_path / "few.onnx", calibration=calibration(prediction_sets=sets))
    with open_client(load_model(path, threads=1)) as client:
        assert set(ask(client, picture(LIGHT))["results"][0]["prediction_set"]) == {"nv", "df"}
        assert (
            "because there were too few lesions to promise anything: dermatofibroma."
            in client.post("/", files={"image": picture()}).text
        )


def test_a_leaking_bundle_is_not_served(tmp_path: Path) -> None:
    path = write_bundle(tmp_path / "leaky.onnx", stamp="LEAKY SPLIT")
    with pytest.raises(BundleError, match="LEAKY SPLIT"):
        Service(load_model(path, threads=1))


def test_the_model_describes_itself(client: TestClient, engine: Engine) -> None:
    info = ModelInfo.model_validate(client.get("/model").json())
    assert info.description == engine.description
    assert [one.code for one in info.diagnoses] == list(CODES)
    assert info.sha256 == engine.bundle.sha256
    assert info.precision == engine.precision == "fp32"


def test_health_is_told(client: TestClient) -> None:
    assert client.get("/health").json() == {"status": "ok", "model": "drawn", "waiting": 0}


def test_the_example_of_the_document_is_a_valid_answer() -> None:
    Predictions.model_validate(EXAMPLE)
