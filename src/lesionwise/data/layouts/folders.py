"""Folders of one's own without a table: one folder for each diagnosis."""

from pathlib import Path

import pandas as pd

from lesionwise.data.folders import walk_files
from lesionwise.data.layouts.forms import LESIONS_ADVICE
from lesionwise.data.layouts.listing import Listing
from lesionwise.diagnoses import code_of
from lesionwise.errors import DataError
from lesionwise.labels import CODES
from lesionwise.names import IMAGE_SUFFIXES, image_id_of


def read_class_folders(folder: Path) -> Listing | None:
    """Read folders named by diagnosis: `mel/…`, `nv/…`; below `train/`, `test/` and the like if so kept.

    Folder names are the seven codes in any case, or their full names as model hubs have them. Other folders
    that hold images are a fault: whether they are a diagnosis cannot be guessed.
    """
    paths = [path for path in walk_files(folder) if path.suffix.lower() in IMAGE_SUFFIXES]
    dx = {path: code_of(path.parent.name) for path in paths}
    if not any(dx.values()):
        return None
    strays = sorted({path.parent.relative_to(folder).as_posix() for path in paths if dx[path] is None})
    if strays:
        raise DataError(
            f"{folder}: expected images in folders named {', '.join(CODES)} only but found some in "
            f"{', '.join(strays)}. Rename these folders or move them away."
        )
    twice = pd.Series([image_id_of(path.name) for path in paths]).loc[lambda stems: stems.duplicated()]
    if len(twice):
        where = ", ".join(
            path.relative_to(folder).as_posix() for path in paths if image_id_of(path.name) == twice.iloc[0]
        )
        raise DataError(f"{folder}: {twice.iloc[0]} is in more than one folder ({where}). Keep one of them.")
    table = pd.DataFrame(
        {"image_id": [image_id_of(path.name) for path in paths], "dx": [dx[path] for path in paths]}
    )
    table.index = pd.RangeIndex(2, len(table) + 2)
    images = {image_id_of(path.name): path for path in paths}
    return Listing("class folders", folder, table, images, {"lesion_id": LESIONS_ADVICE})
