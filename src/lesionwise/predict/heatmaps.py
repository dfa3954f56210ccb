"""Heatmaps of predicted images, as files."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lesionwise.bundle.answers import Answers
from lesionwise.bundle.engine import Engine
from lesionwise.bundle.rendering import draw_over
from lesionwise.data.pictures import Picture
from lesionwise.errors import BundleError
from lesionwise.files import atomic_path


class HeatmapWriter:
    """Writes `<image_id>.png`: the map of the most likely diagnosis over the input of the model."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        if "cam" not in engine.description.outputs:
            raise BundleError(
                f"{engine.bundle.path}: has no exact maps. --heatmaps needs a single network that pools at "
                "its end, such as that of --model best."
            )
        self.zoom = engine.description.input.zoom
        self.folder = folder

    def __call__(self, pictures: list[Picture], pixels: NDArray[np.uint8], answers: Answers) -> None:
        """Write the maps of one batch."""
        for picture, image, answer in zip(pictures, pixels, answers, strict=True):
            assert answer.heatmap is not None  # noqa: S101 (the bundle says that it has one)
            drawn = draw_over(image, answer.heatmap, self.zoom)
            path = self._path(picture.image_id)
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_path(path) as temporary:
                Image.fromarray(drawn).save(temporary, "PNG")

    def _path(self, image_id: str) -> Path:
        """Return the file of a map; a name from a zip or a table never leads out of the folder."""
        parts = image_id.replace("\\", "/").split("/")
        return self.folder / f"{'/'.join(part for part in parts if part not in {'', '.', '..'})}.png"
