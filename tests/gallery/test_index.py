"""A gallery with an index finds what one without it finds."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from conftest import Lesionwise
from lesionwise.bundle.engine import Engine
from lesionwise.data.dataset import Dataset
from lesionwise.errors import DataError, MissingExtraError
from lesionwise.gallery import gallery as gallery_module
from lesionwise.gallery import index as index_module
from lesionwise.gallery.arrays import map_arrays, write_arrays
from lesionwise.gallery.gallery import SAME, Gallery, load_gallery
from lesionwise.gallery.index import Index, build_index
from lesionwise.predict.gallery import make_gallery

IMAGES, NUMBERS, PICTURES = 6000, 48, 3  # of each lesion


@pytest.fixture(scope="module")
def exact(gallery: Gallery) -> Gallery:
    """Lesions in clusters, without an index: pictures of a lesion lie near each other, some are the same."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(40, NUMBERS))
    lesions = centres[rng.integers(40, size=IMAGES // PICTURES)] + rng.normal(
        0, 0.5, (IMAGES // PICTURES, NUMBERS)
    )
    points = np.repeat(lesions, PICTURES, axis=0) + rng.normal(0, 0.05, (IMAGES, NUMBERS))
    points[1::50] = points[::50]  # the same picture
    units = (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)
    names = {"image_id": [f"image {row}" for row in range(IMAGES)], "dx": ["nv"] * IMAGES}
    names["lesion_id"] = [f"lesion {row // PICTURES}" for row in range(IMAGES)]
    columns = {name: [""] * IMAGES for name in gallery.columns} | names
    return Gallery(Path("many.safetensors"), gallery.about, columns, units)


@pytest.fixture(scope="module")
def indexed(exact: Gallery, tmp_path_factory: pytest.TempPathFactory) -> Gallery:
    """The same with an index, written and read."""
    pytest.importorskip("faiss", exc_type=ImportError)
    path = tmp_path_factory.mktemp("many") / "many.safetensors"
    shortlist = replace(exact.shortlist, index=Index.build(exact.shortlist.forms))
    made = Gallery(path, exact.about, exact.columns, exact.embeddings, shortlist=shortlist)
    return load_gallery(made.write().path)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gallery of some images counts as a large one."""
    monkeypatch.setattr(index_module, "LEAST", 50)
    monkeypatch.setattr(gallery_module, "LEAST", 50)


def test_the_index_finds_nearly_all_that_a_comparison_with_all_images_finds(
    exact: Gallery, indexed: Gallery
) -> None:
    assert indexed.shortlist.index is not None
    assert indexed.shortlist.index.shape == (IMAGES, NUMBERS + 1)
    rows = list(range(0, IMAGES, 30))
    expected, found = exact.neighbours(rows, 10), indexed.neighbours(rows, 10)
    common = [
        len({row for row, _ in a} & {row for row, _ in b}) for a, b in zip(expected, found, strict=True)
    ]
    assert np.mean(common) >= 9.8
    assert np.allclose(exact.reference, indexed.reference, atol=1e-3)


def test_with_an_index_a_lesion_is_there_once_and_never_the_own_one(indexed: Gallery) -> None:
    lesions = indexed.columns["lesion_id"]
    for row in range(0, IMAGES, 50):  # of which row + 1 is the same picture
        (by_name,) = indexed.neighbours([row], 40)
        (by_picture,) = indexed.nearest(indexed.embeddings[[row]], 40, leave_out=[()])
        for found in (by_name, by_picture):
            assert lesions[row] not in {lesions[other] for other, _ in found}
            assert len({lesions[other] for other, _ in found}) == 40
            assert [distance for _, distance in found] == sorted(distance for _, distance in found)
            assert found[0][1] >= SAME


def test_if_the_index_names_too_few_images_it_is_asked_for_more(indexed: Gallery, exact: Gallery) -> None:
    unit = exact.embeddings[[7]]
    near = exact.nearest(unit, 500, leave_out=[()])[0]
    taken = {exact.columns["lesion_id"][row] for row, _ in near[:490]}
    (found,) = indexed.nearest(unit, 10, leave_out=[taken])
    assert len(found) == 10
    assert len(set(dict(found)) & set(dict(near[490:]))) >= 8
    (every,) = indexed.nearest(unit, IMAGES, leave_out=[()])
    assert len(every) == IMAGES // PICTURES - 1


def test_an_index_of_other_embeddings_or_a_damaged_one_is_refused(indexed: Gallery, tmp_path: Path) -> None:
    arrays, record = map_arrays(indexed.path)
    other = Index.build(indexed.shortlist.forms[:2000]).to_bytes()
    for wrong in (other, arrays["index"][:-100], np.zeros(100, np.uint8), arrays["index"][:0]):
        path = tmp_path / "wrong.safetensors"
        write_arrays(path, {**arrays, "index": wrong}, record)
        with pytest.raises(DataError, match=r"wrong.safetensors: is not a gallery"):
            load_gallery(path)


@pytest.mark.usefixtures("small")
def test_without_faiss_a_large_gallery_is_searched_as_before_and_says_what_to_install(
    exact: Gallery, indexed: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> None:
        raise MissingExtraError("faiss", "gallery")

    assert indexed.advice == ()
    monkeypatch.setattr(index_module, "_import_faiss", missing)
    assert build_index(exact.shortlist.forms) is None
    bare = load_gallery(indexed.path)
    assert bare.shortlist.index is None
    assert bare.neighbours([3], 10) == exact.neighbours([3], 10)
    assert 'pip install "lesionwise[gallery]"' in " ".join(bare.advice)


@pytest.mark.usefixtures("small")
def test_a_large_gallery_gets_an_index_and_keeps_it_when_it_grows(
    engine: Engine, model: Path, drawn: Dataset, lesionwise: Lesionwise, tmp_path: Path
) -> None:
    pytest.importorskip("faiss", exc_type=ImportError)
    made = make_gallery(engine, drawn, tmp_path / "g.safetensors")[0].write()
    assert made.shortlist.index is not None
    opened = load_gallery(made.path, engine)
    again, _ = make_gallery(engine, drawn, made.path, earlier=opened)
    assert again.shortlist.index is not None
    assert again.shortlist.index.shape == made.shortlist.forms.shape
    done = lesionwise("similar", drawn.paths[0], "--gallery", made.path, "--model", model)
    assert (done.code, "pip install" in done.err) == (0, False)


def test_an_index_without_faiss_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(MissingExtraError, match=r'needs faiss, .*pip install "lesionwise\[gallery\]"'):
        Index(np.zeros(8, np.uint8))
