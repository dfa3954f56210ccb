"""HAM10000 in four layouts: is it the same data, and does it get the same split?

python benchmarks/correctness/four_layouts.py HAM10000_FOLDER SCRATCH

The images are linked, not copied. Prints a row for each layout, and ends with 1 if two rows differ.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from time import process_time

import pandas as pd

from lesionwise.execution import Execution
from lesionwise.labels import CODES
from lesionwise.training.prepare import prepare


def link(images: dict[str, Path], folder: Path, place: Callable[[str], str]) -> None:
    for image_id, path in images.items():
        target = folder / place(image_id) / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.is_symlink():
            target.symlink_to(path)


def dataverse(folder: Path, table: pd.DataFrame, images: dict[str, Path]) -> None:
    link(images, folder, lambda _: "HAM10000_images_part_1")
    table.to_csv(folder / "HAM10000_metadata.tab", sep="\t", index=False, quoting=2)


def challenge(folder: Path, table: pd.DataFrame, images: dict[str, Path]) -> None:
    part = "ISIC2018_Task3_Training"
    link(images, folder, lambda _: f"{part}_Input/{part}_Input")
    hot = pd.DataFrame({code.upper(): (table["dx"] == code).astype(float) for code in CODES})
    hot.insert(0, "image", table["image_id"])
    hot.to_csv(folder / f"{part}_GroundTruth.csv", index=False)
    groups = table[["image_id", "lesion_id"]].rename(columns={"image_id": "image"})
    groups.to_csv(folder / f"{part}_LesionGroupings.csv", index=False)


def class_folders(folder: Path, table: pd.DataFrame, images: dict[str, Path]) -> None:
    dx = dict(zip(table["image_id"], table["dx"], strict=True))
    link(images, folder, lambda image_id: dx[image_id])


def main() -> None:
    source, scratch = (Path(argument).resolve() for argument in sys.argv[1:])
    table = pd.read_csv(source / "HAM10000_metadata.csv", dtype=str)
    images = {path.stem: path for path in sorted(source.rglob("*.jpg"))}
    folders = {"Kaggle": source}
    for name, write in (("Dataverse", dataverse), ("ISIC 2018", challenge), ("class folders", class_folders)):
        folders[name] = scratch / name.replace(" ", "-")
        folders[name].mkdir(parents=True, exist_ok=True)
        write(folders[name], table, images)
    print("| layout | images | data | split | processor time |\n|---|---|---|---|---|")
    found = set()
    for name, folder in folders.items():
        started = process_time()
        data = prepare(folder, execution=Execution(cache_root=scratch / "cache"))
        seconds = process_time() - started
        prints = data.cache.fingerprint, data.split.fingerprint
        found.add(prints)
        shown = " | ".join(f"{value[:12]}…" for value in prints)
        print(f"| {name} | {len(data.y):,} | {shown} | {seconds:.0f} s |", flush=True)
    sys.exit(len(found) > 1)


if __name__ == "__main__":
    main()
