import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lesionwise.data.images import read_image
from lesionwise.data.masks import ARCHIVE, find_masks, fit_mask
from lesionwise.errors import DataError


def _png(mask: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8) * 255).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def mask() -> np.ndarray:
    mask = np.zeros((45, 60), bool)
    mask[10:20, 30:50] = True
    return mask


def test_masks_are_found_in_the_archive_and_in_a_folder(tmp_path: Path, mask: np.ndarray) -> None:
    assert find_masks(tmp_path) is None
    with zipfile.ZipFile(tmp_path / ARCHIVE, "w") as archive:
        archive.writestr("ISIC_1_segmentation.png", _png(mask))
        archive.writestr("readme.txt", "no mask")
    packed = find_masks(tmp_path)
    assert packed
    assert len(packed) == 1
    assert "ISIC_1" in packed
    assert "ISIC_2" not in packed
    assert np.array_equal(packed.read("ISIC_1"), mask)
    folder = tmp_path / ARCHIVE.removesuffix(".zip")
    folder.mkdir()
    (folder / "ISIC_2_segmentation.png").write_bytes(_png(~mask))
    unpacked = find_masks(tmp_path)
    assert unpacked
    assert np.array_equal(unpacked.read("ISIC_2"), ~mask)


def test_damaged_masks_are_named(tmp_path: Path) -> None:
    (tmp_path / ARCHIVE).write_bytes(b"no archive")
    with pytest.raises(DataError, match="cannot be read"):
        find_masks(tmp_path)
    (tmp_path / ARCHIVE).unlink()
    with zipfile.ZipFile(tmp_path / ARCHIVE, "w") as archive:
        archive.writestr("ISIC_1_segmentation.png", b"no image")
    found = find_masks(tmp_path)
    assert found
    with pytest.raises(DataError, match="the mask of ISIC_1"):
        found.read("ISIC_1")


@pytest.mark.parametrize("size", [(45, 60), (15, 20), (32, 32), (20, 60)])
def test_a_mask_is_cut_as_its_image_is(mask: np.ndarray, size: tuple[int, int]) -> None:
    pixels = np.repeat(mask[..., None].astype(np.uint8) * 255, 3, axis=2)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    seen = read_image(buffer.getvalue(), size)[..., 0] / 255
    fitted = fit_mask(mask, size)
    assert fitted.shape == size
    assert np.corrcoef(seen.ravel(), fitted.ravel())[0, 1] > 0.97


def test_what_a_cropped_field_of_view_keeps_is_what_the_mask_keeps(mask: np.ndarray) -> None:
    part = (0.25, 0.2, 1.0, 0.8)
    kept = mask[9:36, 15:60]
    assert np.allclose(fit_mask(mask, (27, 45), part=part), kept)
