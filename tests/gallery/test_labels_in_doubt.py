from pathlib import Path

import numpy as np
import pytest

from lesionwise.errors import DataError
from lesionwise.gallery.gallery import Gallery
from lesionwise.gallery.labels_in_doubt import doubt_findings

IMAGES = 60


def clusters(gallery: Gallery, wrong: tuple[int, ...] = ()) -> Gallery:
    """A gallery of two diagnoses that lie apart, each image a lesion, some with the label of the others."""
    rng = np.random.default_rng(0)
    half = IMAGES // 2
    centres = np.repeat([[1, 0, 0], [0, 1, 0]], half, axis=0)
    points = (centres + rng.normal(0, 0.05, (IMAGES, 3))).astype(np.float32)
    dx = ["nv"] * half + ["mel"] * half
    for row in wrong:
        dx[row] = "mel" if dx[row] == "nv" else "nv"
    columns = {name: [""] * IMAGES for name in gallery.columns}
    columns |= {"image_id": [f"image {row}" for row in range(IMAGES)], "dx": dx}
    columns["lesion_id"] = columns["image_id"]
    units = points / np.linalg.norm(points, axis=1, keepdims=True)
    return Gallery(Path("two.safetensors"), gallery.about, columns, units)


def test_labels_that_were_swapped_are_found_and_no_others(gallery: Gallery) -> None:
    ids = [f"image {row}" for row in range(IMAGES)]
    assert doubt_findings(clusters(gallery), ids) == []
    (finding,) = doubt_findings(clusters(gallery, wrong=(3, 40)), ids)
    assert (finding.code, finding.severity) == ("D021", "warning")
    assert set(finding.ids) == {"image 3", "image 40"}
    assert "2 images (of 60)" in finding.message
    details = {detail["pair"][0]: detail for detail in finding.details}
    assert details["image 3"]["dx"] == ["mel", "nv"]
    assert details["image 3"]["neighbours"] == {"nv": 10}


def test_only_images_of_the_collection_are_named(gallery: Gallery) -> None:
    (finding,) = doubt_findings(clusters(gallery, wrong=(3, 40)), ["image 3"])
    assert finding.ids == ("image 3",)
    with pytest.raises(DataError, match="holds none of the images"):
        doubt_findings(clusters(gallery), ["another"])
