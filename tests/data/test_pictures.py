import os
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lesionwise.data.pictures import find_pictures
from lesionwise.errors import DataError, ImageError
from lesionwise.files import walk_files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.jpg", "a.PNG", "sub/c.webp", "sub/notes.txt", ".hidden.jpg"):
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return tmp_path / "images"


def ids(*places: object) -> list[str]:
    return [picture.image_id for picture in find_pictures([str(place) for place in places])]


def test_a_folder_gives_its_images_and_those_below_by_the_names_of_their_files(folder: Path) -> None:
    assert ids(folder) == ["a", "b", "c"]
    assert [picture.read() for picture in find_pictures([str(folder)])] == [b"a.PNG", b"b.jpg", b"sub/c.webp"]


def test_a_folder_that_vanishes_while_it_is_walked_is_named_and_the_rest_is_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    walk = os.walk

    def walk_late(*args: Any, **options: Any) -> Iterator[tuple[str, list[str], list[str]]]:
        for parent, *names in walk(*args, **options):
            if parent == str(folder / "sub"):
                shutil.rmtree(parent)  # after it was listed
            yield parent, *names

    (folder / "sub" / "deeper").mkdir()
    (folder / "tail").mkdir()
    (folder / "tail" / "d.jpg").write_bytes(b"d")
    found = find_pictures([str(folder)])
    monkeypatch.setattr(os, "walk", walk_late)
    pictures = list(found)
    assert [picture.image_id for picture in pictures] == ["a", "b", "d", "sub"]
    with pytest.raises(ImageError, match="is a folder that cannot be read: No such file or directory"):
        pictures[-1].read()
    (folder / "sub").mkdir()
    assert [path.name for path in walk_files(folder)] == ["a.PNG", "b.jpg", "d.jpg"]


def test_a_file_is_taken_whatever_its_name_and_a_pattern_is_expanded(folder: Path) -> None:
    assert ids(folder / "sub" / "notes.txt") == ["notes.txt"]
    assert ids(folder / "*.jpg", folder / "**" / "*.webp") == ["b", "c"]


def test_a_name_with_brackets_that_exists_is_no_pattern(tmp_path: Path) -> None:
    (tmp_path / "mole[1].jpg").write_bytes(b"x")
    assert ids(tmp_path / "mole[1].jpg") == ["mole[1]"]


def test_a_zip_gives_its_images_and_leaves_out_what_macos_adds(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "some.zip", "w") as archive:
        archive.writestr("x/one.jpg", b"1")
        archive.writestr("__MACOSX/x/._one.jpg", b"no")
        archive.writestr("read.me", b"no")
        archive.writestr("two.png", b"2")
    pictures = list(find_pictures([str(tmp_path / "some.zip")]))
    assert [picture.image_id for picture in pictures] == ["one", "two"]
    assert pictures[0].path == f"{tmp_path / 'some.zip'}!x/one.jpg"
    assert [picture.read() for picture in pictures] == [b"1", b"2"]  # also after all were listed


def test_a_member_that_unpacks_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lesionwise.data.images.MAX_BYTES", 1 << 20)
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.jpg", bytes(2 << 20))
    picture = next(iter(find_pictures([str(tmp_path / "bomb.zip")])))
    with pytest.raises(ImageError, match="has 2 MiB; the limit is 1"):
        picture.read()


def test_a_table_names_paths_beside_itself_and_may_name_ids(folder: Path) -> None:
    (folder / "list.csv").write_text("image_id,path\nfirst,sub/c.webp\n,b.jpg\n", encoding="utf-8-sig")
    pictures = list(find_pictures([str(folder / "list.csv")]))
    assert [picture.image_id for picture in pictures] == ["first", "b"]
    assert [picture.read() for picture in pictures] == [b"sub/c.webp", b"b.jpg"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", b"file\nx.jpg\n", "expected a column path but found file"),
        ("t.csv", b"path\nx.jpg\n \n", "row 3 has no path"),
        ("t.csv", b"path\n\xff\xfe\n", "cannot be read as a table"),
        ("t.csv", b"path\n\n", "has no rows"),
        ("t.zip", b"PK nonsense", "is not a readable zip"),
    ],
)
def test_what_cannot_be_read_is_refused_with_a_reason(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        ids(tmp_path / name)


def test_a_zip_with_a_name_that_is_no_utf_8_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "t.zip", "w") as archive:
        archive.writestr("\u00e9.jpg", b"1")
    content = (tmp_path / "t.zip").read_bytes()
    (tmp_path / "t.zip").write_bytes(content.replace("\u00e9".encode(), b"\xff\xff"))
    with pytest.raises(DataError, match="is not a readable zip"):
        ids(tmp_path / "t.zip")


@pytest.mark.parametrize(("method", "start"), [(zipfile.ZIP_DEFLATED, 35), (zipfile.ZIP_LZMA, 39)])
def test_a_damaged_member_is_a_bad_image(tmp_path: Path, method: int, start: int) -> None:
    with zipfile.ZipFile(tmp_path / "t.zip", "w", method) as archive:
        archive.writestr("a.jpg", b"some bytes" * 100)
    content = bytearray((tmp_path / "t.zip").read_bytes())
    content[start : start + 16] = b"\xff" * 16  # the local header and the name are 35 bytes, LZMA's version 4
    (tmp_path / "t.zip").write_bytes(content)
    with pytest.raises(ImageError, match="cannot be unpacked"):
        next(iter(find_pictures([str(tmp_path / "t.zip")]))).read()


@pytest.mark.parametrize("path", [".", "/", "..", "a\0b.jpg"])
def test_a_path_in_a_table_that_names_no_file_is_a_bad_image(tmp_path: Path, path: str) -> None:
    (tmp_path / "t.csv").write_text(f"path\n{path}\n")
    with pytest.raises(ImageError, match=r"is not a regular file|null byte|null character"):
        next(iter(find_pictures([str(tmp_path / "t.csv")]))).read()


def test_a_folder_that_may_not_be_read_is_a_bad_image(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scan = os.scandir

    def guarded(path: str) -> object:
        if str(path).endswith("sub"):
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", guarded)
    pictures = list(find_pictures([str(folder)]))
    assert [picture.image_id for picture in pictures] == ["a", "b", "sub"]
    with pytest.raises(ImageError, match="Permission denied"):
        pictures[-1].read()


def test_places_that_are_not_there_or_empty_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="found nothing"):
        ids(tmp_path / "missing.jpg")
    with pytest.raises(DataError, match="holds no image"):
        ids(tmp_path)
    with pytest.raises(DataError, match="holds no image"):
        ids(tmp_path / "*.jpg")


def test_paths_that_differ_in_case_are_one_image_only_if_their_files_are_equal(tmp_path: Path) -> None:
    for name, content in (("Left/1.bmp", b"one"), ("left/1.bmp", b"two"), ("LEFT/1.bmp", b"one")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    if len(list(tmp_path.iterdir())) < 3:
        pytest.skip("this file system does not tell upper from lower case")
    assert sorted(picture.read() for picture in find_pictures([str(tmp_path)])) == [b"one", b"one", b"two"]
    assert len(set(ids(tmp_path))) == 2


def test_pictures_of_a_kind_that_is_not_read_are_listed_with_the_reason(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a.jfif", "b.GIF", "c.jp2", "d.txt", "e.dng"):
        (folder / name).write_bytes(b"any")
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, path.name)
    for place in (folder, tmp_path / "in.zip"):
        found = list(find_pictures([str(place)]))
        assert [picture.image_id for picture in found] == ["a", "b", "c", "e"]
        assert found[0].read() == b"any"
        for picture in found[1:]:
            with pytest.raises(ImageError, match=r"which lesionwise does not read\. Convert it to PNG"):
                picture.read()


def test_linked_folders_are_searched_once(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "a.jpg").write_bytes(b"any")
    (tmp_path / "in" / "linked").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (tmp_path / "elsewhere" / "loop").symlink_to(tmp_path / "in", target_is_directory=True)
    assert ids(tmp_path / "in") == ["a"]
