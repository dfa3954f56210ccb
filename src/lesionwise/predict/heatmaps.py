"""What the model looked at, drawn over each image that is predicted.

Here: one PNG an image. Not here: colours (`lesionwise.page.heatmap`).
Letters: N images, H W pixels, h w places.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lesionwise.bundle.engine import Answers, Engine
from lesionwise.data.images import centred_slices
from lesionwise.errors import BundleError
from lesionwise.files import atomic_path
from lesionwise.labels import INDEX
from lesionwise.page.heatmap import dim_around, lay_colour, positive_part
from lesionwise.predict.sources import Picture


class HeatmapWriter:
    """Writes `<image_id>.png`: the map of the likeliest diagnosis over the image as the model was given it.

    Raises:
        BundleError: If the model has no exact maps.
    """

    def __init__(self, engine: Engine, folder: Path) -> None:
        if "cam" not in engine.description.outputs:
            raise BundleError(
                f"{engine.bundle.path}: has no exact maps to draw; single models that pool at their end have."
            )
        self.zoom = engine.description.input.zoom
        self.folder = folder

    def __call__(self, pictures: list[Picture], pixels: NDArray[np.uint8], answers: Answers) -> None:
        """Write the maps of one batch."""
        assert answers.cam is not None  # noqa: S101 (the bundle says that it has one)
        for row, picture in enumerate(pictures):
            values = answers.cam[row, INDEX[str(answers.decisions.top[row])]]
            path = self._path(picture.image_id)
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_path(path) as temporary:
                Image.fromarray(self._draw(pixels[row], values)).save(temporary, "PNG")

    def _path(self, image_id: str) -> Path:
        """Return where a map goes: a name from a zip or a table never leads out of the folder."""
        parts = image_id.replace("\\", "/").split("/")
        return self.folder / f"{'/'.join(part for part in parts if part not in {'', '.', '..'})}.png"

    def _draw(self, pixels: NDArray[np.uint8], values: NDArray[np.float32]) -> NDArray[np.uint8]:
        seen = centred_slices((pixels.shape[0], pixels.shape[1]), self.zoom)
        drawn = dim_around(pixels, seen)
        drawn[seen] = lay_colour(pixels[seen], positive_part(values))
        return drawn
