import io

import numpy as np
import pytest
from PIL import Image

from lesionwise.encoding import recompress


@pytest.mark.parametrize("quality", [50, 90])
def test_a_picture_is_changed_as_saving_it_with_pillow_changes_it(quality: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (45, 60, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    np.testing.assert_array_equal(recompress(pixels, quality), np.asarray(Image.open(file)))


def test_a_worse_quality_loses_more() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (45, 60, 3), np.uint8)
    lost = [np.abs(recompress(pixels, quality) - pixels.astype(int)).mean() for quality in (98, 75, 40)]
    assert lost == sorted(lost)
    assert lost[0] > 0
