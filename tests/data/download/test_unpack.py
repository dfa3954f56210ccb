"""Archives that try something are refused before anything is written; sound ones come out whole."""

import io
import stat
import zipfile
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lesionwise.data.download import unpack
from lesionwise.data.download.unpack import unpack_images
from lesionwise.errors import DownloadError

NAMES = ("ISIC_0024306.jpg", "ISIC_0024307.jpg", "ISIC_0029306.jpg")


def jpeg(seed: int, quality: int = 90) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (18, 24, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def write_zip(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def unpack_to(archive: Path, folder: Path) -> unpack.Unpacked:
    return unpack_images(archive, folder, place=lambda name: "one" if name < NAMES[2] else "two")


def test_images_go_where_their_id_says_whatever_folder_the_archive_has_them_in(tmp_path: Path) -> None:
    members = {
        f"Deep/Er/{NAMES[0]}": jpeg(0),
        NAMES[2]: jpeg(2),
        "LICENSE.txt": b"CC BY-NC",
        "Deep/ATTRIBUTION.txt": b"who",
        "__MACOSX/._x.jpg": b"",
    }
    done = unpack_to(write_zip(tmp_path / "a.zip", members), tmp_path / "out")
    assert (tmp_path / "out" / "one" / NAMES[0]).read_bytes() == jpeg(0)
    assert (tmp_path / "out" / "two" / NAMES[2]).read_bytes() == jpeg(2)
    assert done.written[f"one/{NAMES[0]}"] == (sha256(jpeg(0)).hexdigest(), len(jpeg(0)))
    assert len([path for path in (tmp_path / "out").rglob("*") if path.is_file()]) == 2


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("../ISIC_0024306.jpg", "tries to leave the folder"),
        ("a/../../ISIC_0024306.jpg", "tries to leave the folder"),
        ("/etc/ISIC_0024306.jpg", "tries to leave the folder"),
        ("..\\ISIC_0024306.jpg", "tries to leave the folder"),
        ("C:\\ISIC_0024306.jpg", "tries to leave the folder"),
        ("ISIC_0024306.jpg.exe", "expected images like"),
        ("setup.py", "expected images like"),
        ("ISIC_0024306.jpg\n", "expected images like"),
    ],
)
def test_names_that_try_something_are_refused_before_anything_is_written(
    tmp_path: Path, name: str, message: str
) -> None:
    archive = write_zip(tmp_path / "a.zip", {NAMES[1]: jpeg(1), name: jpeg(0)})
    with pytest.raises(DownloadError, match=message):
        unpack_to(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]


def test_a_link_is_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo(NAMES[0])
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(DownloadError, match="is a link"):
        unpack_to(tmp_path / "a.zip", tmp_path / "out")


def test_a_bomb_is_refused_by_its_ratio(tmp_path: Path) -> None:
    bomb = write_zip(tmp_path / "a.zip", {NAMES[0]: bytes(1 << 20)}, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(DownloadError, match="would unpack to 1,048,576 bytes"):
        unpack_to(bomb, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("limit", "message"),
    [("MAX_MEMBERS", "expected at most 1 members"), ("MAX_TOTAL_BYTES", "would unpack to more than")],
)
def test_too_much_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, message: str
) -> None:
    monkeypatch.setattr(unpack, limit, 1)
    archive = write_zip(tmp_path / "a.zip", {NAMES[0]: jpeg(0), NAMES[1]: jpeg(1)})
    with pytest.raises(DownloadError, match=message):
        unpack_to(archive, tmp_path / "out")


def test_one_name_twice_is_refused(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "a.zip", {f"a/{NAMES[0]}": jpeg(0), f"b/{NAMES[0]}": jpeg(1)})
    with pytest.raises(DownloadError, match="is in it twice"):
        unpack_to(archive, tmp_path / "out")


def test_a_damaged_archive_leaves_whole_images_only(tmp_path: Path) -> None:
    content = bytearray(write_zip(tmp_path / "a.zip", {NAMES[0]: jpeg(0), NAMES[1]: jpeg(1)}).read_bytes())
    second = content.rindex(jpeg(1)[-20:])
    content[second : second + 4] = b"\0\0\0\0"
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(DownloadError, match="is damaged"):
        unpack_to(tmp_path / "a.zip", tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").rglob("*.jpg")] == [NAMES[0]]


def test_no_archive_at_all_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"PK\x03\x04 and then nothing")
    with pytest.raises(DownloadError, match="is damaged"):
        unpack_to(tmp_path / "a.zip", tmp_path / "out")


def test_what_is_there_is_left_if_right_or_a_readable_copy_and_replaced_if_damaged(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "a.zip", {name: jpeg(seed) for seed, name in enumerate(NAMES)})
    (tmp_path / "out" / "one").mkdir(parents=True)
    (tmp_path / "out" / "two").mkdir()
    same, copy = tmp_path / "out" / "one" / NAMES[0], tmp_path / "out" / "one" / NAMES[1]
    torn = tmp_path / "out" / "two" / NAMES[2]
    same.write_bytes(jpeg(0))
    copy.write_bytes(jpeg(1, quality=50))
    torn.write_bytes(jpeg(2)[:-300])
    before = same.stat().st_mtime_ns
    done = unpack_to(archive, tmp_path / "out")
    assert same.stat().st_mtime_ns == before
    assert copy.read_bytes() == jpeg(1, quality=50)
    assert torn.read_bytes() == jpeg(2)
    assert done.kept == (f"one/{NAMES[1]}",)
    assert set(done.written) == {f"one/{NAMES[0]}", f"two/{NAMES[2]}"}
