import io

import numpy as np
import pytest
import simplejpeg
from PIL import Image

from lesionwise.data.block_scaling import eighths, scale_blocks


def grey_jpeg(height: int, width: int) -> bytes:
    smooth = np.random.default_rng(0).normal(128, 90, (height // 6 + 2, width // 6 + 2))
    picture = Image.fromarray(np.clip(smooth, 0, 255).astype(np.uint8)).resize((width, height))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=95)
    return file.getvalue()


@pytest.mark.parametrize("sides", [(64, 80), (61, 83), (450, 600)], ids=str)
@pytest.mark.parametrize("k", range(1, 9))
def test_pixels_become_what_a_jpeg_decoder_makes_of_them(k: int, sides: tuple[int, int]) -> None:
    content = grey_jpeg(*sides)
    whole = simplejpeg.decode_jpeg(content)
    least = tuple(-(-side * k // 8) for side in sides)
    decoded = simplejpeg.decode_jpeg(content, min_height=least[0], min_width=least[1])
    ours = scale_blocks(whole, k)
    assert ours.shape == decoded.shape
    off = np.abs(ours.astype(int) - decoded)
    assert off.mean() < 0.3  # the decoder rounds twice
    assert np.quantile(off, 0.999) <= 2


@pytest.mark.parametrize("sides", [(450, 600), (447, 601), (1000, 1333), (40, 50)], ids=str)
def test_the_scale_is_the_one_that_the_decoder_takes(sides: tuple[int, int]) -> None:
    content = grey_jpeg(*sides)
    for least in ((113, 150), (112, 150), (225, 300), (226, 300), (270, 360), (8, 8), (40, 50), (500, 900)):
        asked = min(least[0], sides[0]), min(least[1], sides[1])
        decoded = simplejpeg.decode_jpeg(content, min_height=asked[0], min_width=asked[1])
        whole = simplejpeg.decode_jpeg(content)
        assert scale_blocks(whole, eighths(sides, asked)).shape == decoded.shape


def test_an_exact_quarter_is_a_quarter_also_where_it_has_to_be_rounded_up() -> None:
    assert eighths((450, 600), (113, 150)) == 2
    assert eighths((450, 600), (114, 150)) == 3


def test_a_plain_picture_stays_plain_to_its_border() -> None:
    plain = np.full((61, 83, 3), (10, 127, 250), np.uint8)
    for k in range(1, 9):
        assert (scale_blocks(plain, k) == plain[0, 0]).all()


def test_the_whole_size_is_the_picture_itself() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
    assert scale_blocks(pixels, 8) is pixels
