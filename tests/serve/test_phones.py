"""Files of phones: HEIC, AVIF, and files that hold several pictures."""

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image, features
from typer.testing import CliRunner

from lesionwise.cli.app import app
from lesionwise.data import images
from lesionwise.data.images import read_image
from lesionwise.errors import ImageError, MissingExtraError
from lesionwise.serve import uploads
from lesionwise.serve.problems import Problem
from lesionwise.serve.uploads import verify_kind
from serve.drawn_model import DARK, LIGHT, picture

HEIC = b"\0\0\0\x18ftypheic\0\0\0\0heicmif1" + bytes(400)
needs_heif = pytest.mark.skipif(not images.READS_HEIC, reason="pillow-heif is not installed")
needs_avif = pytest.mark.skipif(not features.check("avif"), reason="this Pillow reads no AVIF")


def heic(color: tuple[int, int, int], **save: object) -> bytes:
    images.prepare_heic()
    file = io.BytesIO()
    Image.new("RGB", (320, 240), color).save(file, "HEIF", **save)
    return file.getvalue()


@needs_heif
def test_heic_is_read_and_answered(client: TestClient) -> None:
    content = heic(DARK)
    assert np.abs(read_image(content, (48, 64)).astype(int) - DARK).max() < 8
    answer = client.post("/predict", files={"image": content})
    assert answer.status_code == 200, answer.text
    assert answer.json()["results"][0]["top"] == "mel"


@needs_heif
def test_heic_keeps_the_limits_of_other_files(client: TestClient) -> None:
    content = heic(DARK)
    cut = client.post("/predict", files={"image": content[: len(content) // 2]})
    assert cut.json()["code"] == "damaged-image"
    small = io.BytesIO()
    Image.new("RGB", (8, 4)).save(small, "HEIF")
    assert client.post("/predict", files={"image": small.getvalue()}).json()["code"] == "image-size"


@needs_avif
def test_avif_is_read_and_answered(client: TestClient) -> None:
    content = picture(DARK, (320, 240), "AVIF")
    answer = client.post("/predict", files={"image": content})
    assert answer.json()["results"][0]["top"] == "mel"
    cut = client.post("/predict", files={"image": content[: len(content) // 2]})
    assert cut.json()["code"] == "damaged-image"


def test_without_the_extra_a_heic_file_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "READS_HEIC", False)
    with pytest.raises(Problem, match="lacks the extra “heif”"):
        verify_kind(HEIC)
    monkeypatch.setitem(__import__("sys").modules, "pillow_heif", None)
    images.prepare_heic.cache_clear()
    with pytest.raises(MissingExtraError, match=r"lesionwise\[heif\]"):
        read_image(HEIC, (8, 8))


@pytest.fixture
def camera_roll(tmp_path: Path) -> Path:
    """A folder as a phone leaves it: one file of each of its formats, in capitals too."""
    folder = tmp_path / "roll"
    folder.mkdir()
    (folder / "IMG_1.HEIC").write_bytes(heic(DARK) if images.READS_HEIC else HEIC)
    (folder / "IMG_2.heif").write_bytes(heic(LIGHT) if images.READS_HEIC else HEIC)
    (folder / "IMG_3.avif").write_bytes(picture(DARK, (320, 240), "AVIF"))
    return folder


def predict(folder: Path) -> tuple[int, list[str], dict[str, str]]:
    """Return the exit code of `predict FOLDER`, the ids of its table and the reasons of its errors."""
    out = folder.parent / "p.csv"
    done = CliRunner().invoke(app, ["predict", str(folder), "--out", str(out), "--quiet"])
    errors = folder.parent / "p-errors.csv"
    rows = list(csv.DictReader(errors.read_text().splitlines())) if errors.exists() else []
    ids = [row["image_id"] for row in csv.DictReader(out.read_text().splitlines())]
    return done.exit_code, ids, {row["image_id"]: row["reason"] for row in rows}


@needs_heif
@needs_avif
def test_a_folder_is_searched_for_a_phone_s_files(camera_roll: Path) -> None:
    assert predict(camera_roll) == (0, ["IMG_1", "IMG_2", "IMG_3"], {})


@needs_avif
def test_without_the_extra_a_folder_s_heic_files_are_listed_with_its_name(
    camera_roll: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pillow_heif", None)
    images.prepare_heic.cache_clear()
    code, ids, reasons = predict(camera_roll)
    assert (code, ids) == (1, ["IMG_3"])
    assert sorted(reasons) == ["IMG_1", "IMG_2"]
    assert all("lesionwise[heif]" in reason for reason in reasons.values())


def test_what_only_begins_like_a_phone_s_file_is_refused() -> None:
    for content in (b"\0\0\0\x18ftypmp42" + bytes(300), b"\0\0\0\x18ftyp"):
        with pytest.raises(Problem, match="first bytes"):
            verify_kind(content)
        with pytest.raises(ImageError):
            read_image(content, (8, 8))


@pytest.mark.parametrize("form", ["TIFF", "WEBP", "MPO"])
def test_of_several_pictures_the_first_is_answered_and_that_is_said(client: TestClient, form: str) -> None:
    first, second = (Image.new("RGB", (320, 240), color) for color in (DARK, LIGHT))
    file = io.BytesIO()
    first.save(file, form, save_all=True, append_images=[second])
    (result,) = client.post("/predict", files={"image": file.getvalue()}).json()["results"]
    assert result["top"] == "mel"
    assert result["pictures"] == 2
    assert "this is the first" in client.post("/", files={"image": file.getvalue()}).text
    assert "this is the first" not in client.post("/", files={"image": picture(DARK)}).text
