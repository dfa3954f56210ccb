import base64
import io
import json
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from lesionwise.bundle.engine import Engine, load_model
from lesionwise.data.dataset import Dataset
from lesionwise.gallery.gallery import Gallery, load_gallery
from lesionwise.predict.gallery import make_gallery
from lesionwise.serve.share import LEAST_TOKEN
from serve.conftest import open_client
from serve.drawn_model import BLUE, LIGHT, picture, write_bundle
from serve.test_api import ask
from serve.test_share import StandIn, ngrok, serve  # noqa: F401 (pytest finds fixtures by name)

OUTPUTS = ("probabilities", "logits", "embedding", "ood_score", "cam")
SECRETS = ("DRAWN_", "LESION_")


@pytest.fixture(scope="module")
def seeing(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """A model with an embedding."""
    return load_model(write_bundle(tmp_path_factory.mktemp("m") / "m.onnx", outputs=OUTPUTS), threads=1)


@pytest.fixture(scope="module")
def gallery(seeing: Engine, drawn: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Gallery:
    """A gallery with pictures."""
    path = tmp_path_factory.mktemp("g") / "g.safetensors"
    make_gallery(seeing, drawn, path, pictures=True, licence="CC0 <b>1.0</b>")[0].write()
    return load_gallery(path, seeing)


@pytest.fixture(scope="module")
def client(seeing: Engine, gallery: Gallery) -> Iterator[TestClient]:
    with open_client(seeing, gallery=gallery) as opened:
        yield opened


@pytest.fixture(scope="module")
def bare(seeing: Engine, gallery: Gallery) -> Iterator[TestClient]:
    """A client of a service whose gallery has no pictures."""
    without = Gallery(gallery.path, gallery.about, gallery.columns, gallery.embeddings)
    with open_client(seeing, gallery=without) as opened:
        yield opened


def test_an_answer_names_five_lesions_as_the_gallery_does(
    client: TestClient, seeing: Engine, gallery: Gallery
) -> None:
    content = picture(LIGHT)
    found = ask(client, content)["results"][0]["similar"]
    (expected,) = gallery.similar(seeing.predict(content))
    assert [one["dx"] for one in found] == [one.dx for one in expected]
    assert [one["distance"] for one in found] == pytest.approx([one.distance for one in expected], abs=2e-6)
    assert (found[0]["age"], found[0]["sex"], found[0]["localization"]) == (50, "female", "back")
    kind, _, data = found[0]["picture"].partition(",")
    assert kind == "data:image/jpeg;base64"
    assert Image.open(io.BytesIO(base64.b64decode(data))).format == "JPEG"


def test_several_images_get_their_own_lesions(client: TestClient, drawn: Dataset) -> None:
    contents = [path.read_bytes() for path in drawn.paths[:6]]
    alone = [ask(client, one)["results"][0]["similar"] for one in contents]
    together = [one["similar"] for one in ask(client, *contents)["results"]]
    keys = ("dx", "picture")
    assert [[[one[key] for key in keys] for one in found or ()] for found in together] == [
        [[one[key] for key in keys] for one in found or ()] for found in alone
    ]


def test_no_id_of_the_gallery_leaves_the_service(client: TestClient, bare: TestClient) -> None:
    upload = {"image": picture(LIGHT)}
    for service in (client, bare):
        for text in (service.post("/predict", files=upload).text, service.post("/", files=upload).text):
            assert not [secret for secret in SECRETS if secret in text]


def test_without_pictures_only_diagnoses_are_shown(bare: TestClient) -> None:
    found = ask(bare, picture(LIGHT))["results"][0]["similar"]
    assert [one["picture"] for one in found] == [None] * 5
    assert {(one["age"], one["sex"], one["localization"]) for one in found} == {(None, None, None)}
    page = bare.post("/", files={"image": picture(LIGHT)}).text
    section = page.partition('class="similar"')[2].partition("</section>")[0]
    assert section.count("<li>") == 5
    assert "<image" not in section
    assert "checkbox" not in section
    assert "back" not in section


def test_a_rejected_picture_gets_no_similar_lesions(client: TestClient) -> None:
    assert ask(client, picture(BLUE))["results"][0]["similar"] is None
    assert 'class="similar"' not in client.post("/", files={"image": picture(BLUE)}).text


def test_similar_lesions_can_be_left_out(client: TestClient) -> None:
    assert ask(client, picture(LIGHT), similar="false")["results"][0]["similar"] is None


def test_the_model_page_and_the_answer_state_the_licence(client: TestClient, gallery: Gallery) -> None:
    assert client.get("/model").json()["gallery"] == {
        "images": len(gallery),
        "lesions": gallery.lesions,
        "pictures": True,
        "licence": "CC0 <b>1.0</b>",
    }
    assert "licence: CC0 &lt;b&gt;1.0&lt;/b&gt;" in client.post("/", files={"image": picture(LIGHT)}).text


def test_a_service_without_a_gallery_says_so(engine: Engine) -> None:
    with open_client(engine) as opened:
        assert ask(opened, picture(LIGHT))["results"][0]["similar"] is None
        assert opened.get("/model").json()["gallery"] is None


def test_the_json_that_a_user_keeps_leaves_the_pictures_out(client: TestClient) -> None:
    page = client.post("/", files={"image": picture(LIGHT)}).text
    shown = page.partition('<pre tabindex="0">')[2].partition("</pre>")[0].replace("&#34;", '"')
    assert {one["picture"] for one in json.loads(shown)["results"][0]["similar"]} == {None}
    saved = base64.b64decode(page.partition("data:application/json;base64,")[2].partition('"')[0])
    (result,) = json.loads(saved)["results"]
    assert {one["picture"] for one in result["similar"]} == {None}
    assert result["heatmap"]


def test_when_nothing_is_alike_the_page_says_so(seeing: Engine, gallery: Gallery) -> None:
    near = Gallery(
        gallery.path, gallery.about, gallery.columns, gallery.embeddings, reference=gallery.reference * 0
    )
    with open_client(seeing, gallery=near) as opened:
        assert "None of them is very similar" in opened.post("/", files={"image": picture(LIGHT)}).text
    far = Gallery(
        gallery.path, gallery.about, gallery.columns, gallery.embeddings, reference=gallery.reference * 0 + 2
    )
    with open_client(seeing, gallery=far) as opened:
        assert "None of them is very similar" not in opened.post("/", files={"image": picture(LIGHT)}).text


def test_a_gallery_is_not_shared_unless_told(
    ngrok: StandIn,  # noqa: F811
    gallery: Gallery,
    seeing: Engine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = seeing.bundle.path
    options = ("--share", "--token", "x" * LEAST_TOKEN, "--model", str(model), "--gallery", str(gallery.path))
    with pytest.raises(Exception, match="add --share-gallery"):
        serve(monkeypatch, *options)
    assert ngrok.told == []
    printed = serve(monkeypatch, *options, "--share-gallery")
    assert f"Gallery: {gallery.describe()}." in printed
    assert len(ngrok.told) == 2
