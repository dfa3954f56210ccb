import json
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import lesionwise
from conftest import WriteKaggle
from lesionwise.bundle.answers import Answers
from lesionwise.bundle.engine import Engine, load_model
from lesionwise.data.dataset import Dataset, read_dataset
from lesionwise.errors import BundleError, DataError
from lesionwise.gallery.arrays import map_arrays, write_arrays
from lesionwise.gallery.gallery import Gallery, load_gallery
from lesionwise.predict.gallery import PICTURE_PX, make_gallery
from serve.drawn_model import write_bundle


@pytest.fixture(scope="session")
def answers(engine: Engine, drawn: Dataset) -> Answers:
    return engine.predict(drawn.paths[:12])


def slow(gallery: Gallery, unit: np.ndarray, count: int, own: set[str]) -> list[tuple[str, float]]:
    """The nearest lesions by a slow loop: the nearest picture of each, then sorted."""
    best: dict[str, float] = {}
    for lesion, other in zip(gallery.columns["lesion_id"], gallery.embeddings, strict=True):
        distance = 1 - float(np.dot(other.astype(float), unit.astype(float)))
        best[lesion] = min(distance, best.get(lesion, 9))
    return sorted(((name, found) for name, found in best.items() if name not in own), key=lambda one: one[1])[
        :count
    ]


def test_the_nearest_lesions_are_those_of_a_slow_loop(gallery: Gallery, answers: Answers) -> None:
    assert answers.embedding is not None
    for row, found in enumerate(gallery.similar(answers, 7)):
        unit = answers.embedding[row] / np.linalg.norm(answers.embedding[row])
        expected = slow(gallery, unit, 7, {gallery.columns["lesion_id"][row]})
        assert [one.distance for one in found] == pytest.approx(
            [distance for _, distance in expected], abs=1e-6
        )
        assert len({one.lesion_id for one in found}) == 7


def test_the_same_id_or_the_same_picture_is_the_own_lesion(
    gallery: Gallery, engine: Engine, drawn: Dataset, tmp_path: Path
) -> None:
    path, lesion = drawn.paths[1], gallery.columns["lesion_id"][1]
    renamed = tmp_path / "renamed.jpg"
    renamed.write_bytes(path.read_bytes())
    shrunk = tmp_path / "elsewhere" / path.name
    shrunk.parent.mkdir()
    Image.open(path).resize((20, 15)).save(shrunk)
    for query in (path, renamed, shrunk, path.read_bytes()):
        (found,) = gallery.similar(engine.predict(query), len(gallery))
        assert lesion not in {one.lesion_id for one in found}
        assert len(found) == gallery.lesions - 1
    nearby = np.clip(np.asarray(Image.open(path), int) + 1, 0, 255).astype(np.uint8)
    (found,) = gallery.similar(engine.predict(nearby), len(gallery))
    assert len(found) == gallery.lesions  # a new photograph of it: only its owner knows
    (found,) = gallery.similar(engine.predict(nearby), len(gallery), lesion=lesion)
    assert lesion not in {one.lesion_id for one in found}


def test_a_percentile_is_the_part_of_the_images_with_a_nearer_lesion(gallery: Gallery) -> None:
    own = [
        slow(gallery, unit, 1, {lesion})[0][1]
        for lesion, unit in zip(gallery.columns["lesion_id"], gallery.embeddings, strict=True)
    ]
    for distance in (0, 1e-5, 1e-4, 1e-3, 1e-2, 2):
        assert gallery.percentile(distance) == pytest.approx(
            np.mean(np.array(own) < distance), abs=1.5 / len(gallery)
        )
    assert gallery.percentile(2) == 1


def test_a_gallery_is_read_as_it_was_written(
    gallery: Gallery, engine: Engine, drawn: Dataset, answers: Answers
) -> None:
    again = lesionwise.load_gallery(gallery.path, engine)
    assert again.similar(answers) == gallery.similar(answers)
    assert again.describe() == f"{len(drawn.table)} images of 91 lesions, with pictures; licence: CC0-1.0"
    assert again.describe() in repr(again)
    (first, *_) = again.similar(answers)[0]
    assert (first.age, first.sex, first.localization) == (50, "female", "back")
    picture = Image.open(BytesIO(first.picture or b""))
    assert max(picture.size) == PICTURE_PX
    assert json.loads(json.dumps(first.to_json()))["dx"] == first.dx
    assert "picture" not in first.to_json()


def test_a_gallery_of_another_model_is_refused(gallery: Gallery, engine: Engine, tmp_path: Path) -> None:
    other = load_model(write_bundle(tmp_path / "o.onnx", name="other", outputs=engine.description.outputs))
    with pytest.raises(DataError, match=r"the model is now other in fp32.*make the gallery again"):
        load_gallery(gallery.path, other)
    with pytest.raises(DataError, match="expected answers of drawn"):
        gallery.similar(other.predict(np.zeros((48, 64, 3), np.uint8)))
    rough = load_model(engine.bundle.path, precision="bf16")
    with pytest.raises(DataError, match="the precision is now drawn in bf16"):
        load_gallery(gallery.path, rough)


def test_a_model_without_an_embedding_makes_no_gallery(drawn: Dataset, tmp_path: Path) -> None:
    bare = load_model(write_bundle(tmp_path / "bare.onnx"))
    with pytest.raises(BundleError, match="gives no embedding"):
        make_gallery(bare, drawn, tmp_path / "g.safetensors")


@pytest.mark.parametrize("name", ["columns", "embeddings", "reference", "picture_ends", "axes", "forms"])
def test_a_gallery_that_lacks_a_part_is_refused(gallery: Gallery, tmp_path: Path, name: str) -> None:
    arrays, record = map_arrays(gallery.path)
    path = tmp_path / "part.safetensors"
    write_arrays(path, {key: array for key, array in arrays.items() if key != name}, record)
    with pytest.raises(DataError, match="is not a gallery that this version"):
        load_gallery(path)
    for wrong in (
        {"embeddings": arrays["embeddings"][:-1]},
        {"forms": np.zeros_like(arrays["forms"])},
        {"forms": arrays["forms"].astype(np.int64)},
    ):
        write_arrays(path, arrays | wrong, record)
        with pytest.raises(DataError, match="is not a gallery that this version"):
            load_gallery(path)


def test_appending_adds_what_is_new_and_joins_lesions(
    gallery: Gallery, engine: Engine, drawn: Dataset, tmp_path: Path
) -> None:
    half = replace(drawn, table=drawn.table[:60].reset_index(drop=True))
    first = make_gallery(engine, half, tmp_path / "g.safetensors", pictures=True)[0].write()
    both, faults = make_gallery(engine, drawn, first.path, earlier=load_gallery(first.path), pictures=True)
    assert not faults
    assert both.columns == gallery.columns
    assert np.allclose(both.embeddings, gallery.embeddings, atol=1e-6)
    assert np.allclose(both.reference, gallery.reference, atol=1e-6)
    assert list(both.pictures) == list(gallery.pictures)
    again, _ = make_gallery(engine, drawn, first.path, earlier=both, pictures=True)
    assert len(again) == len(both)
    with pytest.raises(DataError, match="has pictures, and all images of a gallery must be alike"):
        make_gallery(engine, drawn, first.path, earlier=both)


def test_each_file_is_read_once(
    engine: Engine, drawn: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []

    def counted(path: Path) -> bytes:
        read.append(path)
        return path.read_bytes()

    monkeypatch.setattr("lesionwise.predict.gallery.read_content", counted)
    half = replace(drawn, table=drawn.table[:60].reset_index(drop=True))
    first, _ = make_gallery(engine, half, tmp_path / "g.safetensors")
    assert sorted(read) == sorted(half.paths)
    read.clear()
    make_gallery(engine, drawn, first.path, earlier=first)
    assert sorted(read) == sorted(drawn.paths)


def test_the_licence_of_each_part_is_kept(
    engine: Engine, drawn: Dataset, tmp_path: Path, write_kaggle: WriteKaggle
) -> None:
    path = tmp_path / "g.safetensors"
    licensed = replace(drawn, table=drawn.table.assign(license="CC-BY"))
    first, _ = make_gallery(engine, licensed, path)
    assert first.about.licence == "CC-BY"
    other = read_dataset(write_kaggle(tmp_path / "other", lesions=1, size=(24, 32)))
    other = replace(other, table=other.table.assign(lesion_id="X" + other.table["lesion_id"]))
    both, _ = make_gallery(engine, other, path, earlier=first)
    assert both.about.licence == "CC-BY; not stated"
    answer = engine.predict(drawn.paths[0])
    assert {one.licence for one in both.similar(answer, 200)[0]} == {"CC-BY", ""}


def test_images_that_cannot_be_read_are_listed(
    engine: Engine, tmp_path: Path, write_kaggle: WriteKaggle
) -> None:
    dataset = read_dataset(write_kaggle(tmp_path / "data", lesions=1))
    dataset.paths[2].write_bytes(b"no image")
    made, faults = make_gallery(engine, dataset, tmp_path / "g.safetensors")
    assert [fault[0] for fault in faults] == [dataset.table["image_id"][2]]
    assert len(made) == len(dataset.table) - 1
    for path in dataset.paths:
        path.write_bytes(b"no image")
    with pytest.raises(DataError, match="none of its images could be read"):
        make_gallery(engine, dataset, tmp_path / "g.safetensors")


def test_a_gallery_of_one_lesion_finds_nothing_else(engine: Engine, drawn: Dataset, tmp_path: Path) -> None:
    one = replace(drawn, table=drawn.table[:1])
    made = make_gallery(engine, one, tmp_path / "one.safetensors")[0].write()
    opened = load_gallery(made.path, engine)
    assert opened.similar(engine.predict(drawn.paths[0])) == [[]]
    found = opened.similar(engine.predict(drawn.paths[-1]))[0]
    assert [similar.percentile for similar in found] == [1.0]
