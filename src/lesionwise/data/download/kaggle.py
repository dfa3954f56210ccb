"""HAM10000 from Kaggle, through Kaggle's own client."""

from collections.abc import Callable
from hashlib import sha256
from importlib import import_module
from pathlib import Path

from lesionwise.data.download.sources import KAGGLE
from lesionwise.data.download.unpack import Unpacked, is_readable
from lesionwise.data.layouts.ham10000 import metadata_file
from lesionwise.data.layouts.listing import find_images
from lesionwise.errors import DownloadError, needing
from lesionwise.files import copy_file, write_bytes
from lesionwise.progress import SILENT, Progress


def copy_from_kaggle(out: Path, place: Callable[[str], str], *, progress: Progress = SILENT) -> Unpacked:
    """Have kagglehub download the set, and copy it without its lower-case twins."""
    with needing("kagglehub"):
        kagglehub = import_module("kagglehub")
    try:
        folder = Path(kagglehub.dataset_download(KAGGLE))
    except Exception as error:  # kagglehub documents none
        raise DownloadError(f"kagglehub could not download {KAGGLE}: {error}") from error
    metadata = metadata_file(folder)
    if metadata is None:
        raise DownloadError(f"kagglehub: expected HAM10000_metadata.csv in {KAGGLE} but found none.")
    images = find_images([folder])
    written: dict[str, tuple[str, int]] = {}
    kept: list[str] = []
    for number, path in enumerate(images.values(), 1):
        name = f"{place(path.name)}/{path.name}"
        if is_readable(out / name):
            kept.append(name)
        else:
            content = path.read_bytes()
            write_bytes(out / name, content)
            written[name] = sha256(content).hexdigest(), len(content)
        progress.on_work("copying images", number, len(images))
    copy_file(metadata, out / "HAM10000_metadata.csv")
    return Unpacked(written, tuple(kept))
