from importlib.util import find_spec
from pathlib import Path

import pytest
from PIL import Image

from lesionwise.data.pictures import find_pictures
from lesionwise.errors import DataError, ImageError, MissingExtraError
from lesionwise.predict.ray import _pack

needs_arrow = pytest.mark.skipif(find_spec("pyarrow") is None, reason="Arrow is not installed")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "images" / "below").mkdir(parents=True)
    for name in ("b.png", "below/a.png"):
        Image.new("RGB", (60, 45), "tan").save(tmp_path / "images" / name)
    (tmp_path / "images" / "notes.txt").write_text("no image")
    return tmp_path / "images"


@needs_arrow
def test_images_at_an_address_have_the_names_that_those_of_a_folder_have(folder: Path) -> None:
    here, there = (
        sorted(find_pictures([place]), key=lambda one: one.image_id)
        for place in (str(folder), folder.as_uri())
    )
    assert [picture.image_id for picture in there] == [picture.image_id for picture in here]
    assert [picture.read() for picture in there] == [picture.read() for picture in here]
    assert (folder / "b.png").as_uri() in {picture.path for picture in there}


@needs_arrow
def test_one_object_is_an_image_whatever_its_name(folder: Path) -> None:
    (folder / "b.png").rename(folder / "b.heap")
    [picture] = find_pictures([(folder / "b.heap").as_uri()])
    assert picture.image_id == "b.heap"


@needs_arrow
def test_an_address_that_leads_nowhere_is_refused(tmp_path: Path) -> None:
    for place, message in [
        ((tmp_path / "none").as_uri(), "found nothing"),
        ("nowhere://x/y", "cannot be opened"),
        ((tmp_path).as_uri(), "holds no image"),
    ]:
        with pytest.raises(DataError, match=message):
            list(find_pictures([place]))


@needs_arrow
def test_an_object_that_is_gone_is_reported_by_name(folder: Path) -> None:
    pictures = list(find_pictures([folder.as_uri()]))
    (folder / "b.png").unlink()
    with pytest.raises(ImageError, match="cannot be read"):
        pictures[0].read()


@pytest.mark.skipif(find_spec("pyarrow") is not None, reason="Arrow is installed")
def test_without_arrow_the_install_line_is_printed() -> None:
    with pytest.raises(MissingExtraError, match=r'pip install "lesionwise\[arrow\]"'):
        list(find_pictures(["s3://bucket/images"]))


def test_pictures_inside_a_zip_cannot_be_sent_to_other_machines(folder: Path, tmp_path: Path) -> None:
    import zipfile  # noqa: PLC0415

    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.write(folder / "b.png", "b.png")
    for picture in find_pictures([str(tmp_path / "z.zip")]):
        with pytest.raises(DataError, match="Unpack its file"):
            _pack(picture)


def test_a_picture_can_be_read_from_another_working_directory(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    (folder / "t.csv").write_text("path\nb.png\n")
    pictures = [*find_pictures(["images", "images/b.png", "images/t.csv"])]
    monkeypatch.chdir(tmp_path.parent)
    assert {picture.path for picture in pictures} == {"images/b.png", "images/below/a.png"}
    assert all(picture.read() for picture in pictures)
