"""From all that `Engine.predict` accepts to single images with names.

Here: paths, folders, patterns, Pillow images, open files, bytes, arrays and tensors. Not here: reading them
by the rule of a bundle (`lesionwise.data.images`).
"""

import glob
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Final, NamedTuple, Protocol, SupportsIndex

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image as PillowImage
from typing_extensions import TypeIs

from lesionwise.arrays import Pixels
from lesionwise.data.containers import is_image_name
from lesionwise.data.images import rgb_pixels
from lesionwise.data.pictures import SCHEME, TABLES_OF_IMAGES, find_pictures
from lesionwise.errors import ImageError


class Tensor(Protocol):
    """A tensor of PyTorch, or of another framework that converts itself to NumPy."""

    def __array__(self) -> NDArray[Any]:
        """Return it as an array."""

    def __len__(self) -> int:
        """Return the length of its first side."""

    def __getitem__(self, place: SupportsIndex, /) -> Any:  # noqa: ANN401 (a tensor of fewer sides)
        """Return a part."""


Image = str | Path | bytes | NDArray[Any] | PillowImage | IO[bytes] | Tensor
Read = Path | bytes | Pixels | Callable[[], bytes]
_RGB: Final = 3
_IMAGE_SIDES: Final = (2, 3)  # dimensions of one image; several have one more, and a list of paths has one


class NamedImage(NamedTuple):
    """An image with its name, its source, and its id in a table of paths."""

    name: str
    source: Read
    image_id: str = ""


def named_images(images: Image | Iterable[Image]) -> Iterator[NamedImage]:
    """Yield each image with its name. Whether its file exists shows when it is read.

    Args:
        images: One image or several; a folder, a pattern, a zip or a CSV of paths stands for all its images.

    Raises:
        DataError: If a place without the name of an image does not exist, or a place holds no image.
        ImageError: If something is not an image; the message names it.
    """
    place = 0
    for image in [images] if _is_one(images) else images:
        for named in _read_one(image, f"image {place}"):
            yield named
            place += 1


def _is_one(images: Image | Iterable[Image]) -> TypeIs[Image]:
    if isinstance(images, str | Path | bytes | bytearray | PillowImage | Mapping) or hasattr(images, "read"):
        return True
    if hasattr(images, "__array__"):
        return getattr(images, "ndim", 0) in _IMAGE_SIDES
    return not isinstance(images, Iterable)


def _read_one(image: Image, name: str) -> Iterator[NamedImage]:
    if isinstance(image, str | Path):
        if _is_file(str(image)):
            yield NamedImage(str(image), Path(image))
        else:
            for picture in find_pictures([str(image)]):
                yield NamedImage(picture.path, picture.read, picture.image_id if picture.named else "")
    elif isinstance(image, bytes | bytearray):
        yield NamedImage(name, bytes(image))
    elif isinstance(image, PillowImage):
        yield NamedImage(name, _explained(rgb_pixels, image, name))
    elif hasattr(image, "read"):
        named = getattr(image, "name", name)
        name = named if isinstance(named, str) else name
        yield NamedImage(name, _content_of(image, name))
    elif hasattr(image, "__array__"):
        yield NamedImage(name, _explained(_pixels_of, image, name))
    else:
        raise ImageError(
            f"{name}: expected a path, bytes, an open file, a Pillow image, an array or a tensor but got "
            f"{type(image).__name__}."
        )


def _is_file(name: str) -> bool:
    """Return whether a place is one image: a file, or the name of an image that is missing."""
    path = Path(name)
    if path.exists():
        return path.is_file() and path.suffix.lower() not in TABLES_OF_IMAGES
    return is_image_name(path) and not glob.has_magic(name) and SCHEME not in name


def _explained(read: Callable[[Any], Any], image: object, name: str) -> Pixels:
    try:
        pixels: Pixels = read(image)
    except ImageError as error:
        raise ImageError(f"{name}: {error}.") from error
    return pixels


def _content_of(file: Any, name: str) -> bytes:  # noqa: ANN401 (anything with `read`)
    content = file.read()
    if not isinstance(content, bytes):
        raise ImageError(f'{name}: is opened as text. Open it as bytes: open(path, "rb").')
    if not content:
        raise ImageError(f"{name}: was already read to its end. Go back to its start first: file.seek(0).")
    return content


def _pixels_of(image: Any) -> NDArray[Any]:  # noqa: ANN401 (anything that becomes an array)
    """Return an array or tensor as RGB pixels (H, W, 3) of uint8; only tensors may have channels first."""
    is_tensor = hasattr(image, "detach")
    if is_tensor:
        image = image.detach().cpu()
        image = image.float() if image.is_floating_point() else image
    pixels: NDArray[Any] = np.asarray(image)
    if pixels.ndim == 3 and pixels.shape[0] == _RGB and pixels.shape[2] != _RGB:  # noqa: PLR2004 (H, W, 3)
        if not is_tensor:
            raise ImageError(
                f"expected RGB pixels (H, W, 3) but got {pixels.shape}: its channels come first. Pass "
                "image.transpose(1, 2, 0)"
            )
        pixels = pixels.transpose(1, 2, 0)
    if pixels.dtype.kind != "f" or pixels.ndim != 3 or pixels.shape[2] != _RGB:  # noqa: PLR2004 (the same)
        return pixels  # which `fit_image` checks
    low, high = float(pixels.min(initial=0)), float(pixels.max(initial=0))
    if not (low >= 0 and high <= 1):
        raise ImageError(
            f"expected floats from 0 to 1 but found {low:.3g} to {high:.3g}. Pass pixels from 0 to 255 as "
            "uint8. Do not normalise them: the model does that itself"
        )
    whole: Pixels = np.rint(255 * pixels).astype(np.uint8)
    return whole
