"""Write a phantom data set to a folder, in the layout HAM10000 has on Kaggle."""

import csv
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import get_args

import numpy as np

from lesionwise.data.phantom.diagnoses import draw_lesion
from lesionwise.data.phantom.photograph import Photograph, draw_lots_for_skin, take_photograph
from lesionwise.data.phantom.plan import Imbalance, PlannedLesion, count_lesions, plan_lesions
from lesionwise.execution import usable_cores
from lesionwise.files import atomic_folder
from lesionwise.progress import SILENT, Progress

IMAGE_FOLDERS = ("HAM10000_images_part_1", "HAM10000_images_part_2")
METADATA_FILE = "HAM10000_metadata.csv"
MASKS_FILE = "HAM10000_segmentations_lesion_tschandl.zip"
COLUMNS = ("lesion_id", "image_id", "dx", "dx_type", "age", "sex", "localization")

# A worker process takes about as long to start as this many lesions take to draw.
_LESIONS_WORTH_A_WORKER = 16
# Zip entries carry a time of writing; a fixed one keeps the same seed the same bytes.
_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)
# First word of the spawn keys that separate the streams of one seed.
_TABLE_STREAM, _LESION_STREAM = 0, 1


def write_phantom(
    out: str | Path,
    *,
    lesions_per_class: int = 24,
    imbalance: Imbalance = "none",
    seed: int = 0,
    workers: int | None = None,
    progress: Progress = SILENT,
) -> Path:
    """Write a synthetic data set of drawn lesions that is laid out like HAM10000.

    It stands in for the real images wherever those cannot be: tests, demonstrations, a first
    run without a download. Structure tells the diagnosis, colour and size hardly do; several
    photographs of one lesion differ in view and light, so an image split leaks here as it does
    on the real set. A score on phantoms says that a pipeline works, and nothing of skin.

    The folder appears only when it is complete. Its bytes depend on the arguments and on the
    versions of NumPy and Pillow, not on `workers`.

    Args:
        out: Folder to make; it may exist if it is empty.
        lesions_per_class: Lesions of each diagnosis, 1 or more; the default is enough for a
            cross-validation and for the protocols of `leakage`; of the rarest one with
            `imbalance="ham"`.
        imbalance: `none` draws all diagnoses equally often; `ham` as often as HAM10000 has
            them, with the commonest (nv) capped at 40 times the rarest.
        workers: Processes to draw with; by default one for each usable core, and fewer for
            small sets. With more than one, a script must call this below
            `if __name__ == "__main__":`, because workers import it.

    Raises:
        RunError: If `out` is a file or a folder that is not empty.
        ValueError: If a number is out of its range, or `imbalance` is not one of its names.

    Examples:
        >>> write_phantom("phantom", lesions_per_class=4)  # doctest: +SKIP
        PosixPath('phantom')
    """
    out = Path(out)
    _verify_arguments(lesions_per_class, imbalance, seed, workers)
    counts = count_lesions(lesions_per_class, imbalance)
    lesions = plan_lesions(counts, _stream(seed, _TABLE_STREAM))
    with atomic_folder(out) as folder:
        _write_table(folder / METADATA_FILE, lesions)
        _write_pictures(folder, _photographed(lesions, seed=seed, workers=workers), lesions, progress)
    return out


def photograph_lesion(lesion: PlannedLesion, *, seed: int) -> list[Photograph]:
    """Return all photographs of one lesion, a function of the seed and of the lesion alone."""
    rng = _stream(seed, _LESION_STREAM, lesion.number)
    skin = draw_lots_for_skin(rng)
    drawing = draw_lesion(lesion.dx, rng)
    return [
        take_photograph(drawing, skin, _stream(seed, _LESION_STREAM, lesion.number, shot))
        for shot in range(1, 1 + len(lesion.image_ids))
    ]


def _stream(seed: int, *key: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


def _verify_arguments(lesions_per_class: int, imbalance: str, seed: int, workers: int | None) -> None:
    if lesions_per_class < 1:
        raise ValueError(f"Expected `lesions_per_class` of 1 or more but got {lesions_per_class}.")
    if imbalance not in get_args(Imbalance):
        raise ValueError(f"Expected `imbalance` of {get_args(Imbalance)} but got {imbalance!r}.")
    if seed < 0:
        raise ValueError(f"Expected `seed` of 0 or more but got {seed}.")
    if workers is not None and workers < 1:
        raise ValueError(f"Expected `workers` of 1 or more, or None, but got {workers}.")


def _write_table(path: Path, lesions: Sequence[PlannedLesion]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(COLUMNS)
        for lesion in lesions:
            for image_id in lesion.image_ids:
                about = (getattr(lesion, name) for name in COLUMNS[2:])
                rows.writerow([lesion.lesion_id, image_id, *about])


def _write_pictures(
    folder: Path,
    photographed: Iterable[tuple[PlannedLesion, list[Photograph]]],
    lesions: Sequence[PlannedLesion],
    progress: Progress,
) -> None:
    image_ids = sorted(image_id for lesion in lesions for image_id in lesion.image_ids)
    first_part = set(image_ids[: (len(image_ids) + 1) // 2])
    masks: dict[str, bytes] = {}
    for part in IMAGE_FOLDERS:
        (folder / part).mkdir()
    for lesion, photographs in photographed:
        for image_id, photograph in zip(lesion.image_ids, photographs, strict=True):
            part = IMAGE_FOLDERS[0 if image_id in first_part else 1]
            (folder / part / f"{image_id}.jpg").write_bytes(photograph.jpeg)
            masks[image_id] = photograph.mask_png
        progress.on_work("drawing images", len(masks), len(image_ids))
    with zipfile.ZipFile(folder / MASKS_FILE, "w") as archive:
        for image_id in image_ids:
            entry = zipfile.ZipInfo(f"{image_id}_segmentation.png", _ZIP_EPOCH)
            archive.writestr(entry, masks[image_id])


def _photographed(
    lesions: Sequence[PlannedLesion], *, seed: int, workers: int | None
) -> Iterator[tuple[PlannedLesion, list[Photograph]]]:
    """Yield each lesion with its photographs, drawn here or by several processes."""
    draw = partial(photograph_lesion, seed=seed)
    if workers is None:
        workers = min(usable_cores(), -(-len(lesions) // _LESIONS_WORTH_A_WORKER))
    if workers == 1:
        yield from ((lesion, draw(lesion)) for lesion in lesions)
        return
    # Forking is faster but not safe once the caller's libraries have started threads.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from zip(lesions, pool.map(draw, lesions, chunksize=4), strict=True)
