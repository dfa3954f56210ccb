"""Data for tests: drawn in code, or the real images where they are."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from lesionwise.cli import main
from lesionwise.data.dataset import Dataset, read_dataset
from lesionwise.labels import CODES
from lesionwise.progress import Progress
from lesionwise.recipe import Recipe

ROOT = Path(__file__).resolve().parents[1]
REAL = Path(os.environ.get("LESIONWISE_HAM10000", ROOT.parent / "shared" / "ham10000"))


@pytest.fixture(scope="session")
def ham10000() -> Path:
    """The folder of the real images."""
    if not (REAL / "HAM10000_metadata.csv").is_file():
        pytest.skip(f"the real images are not in {REAL}; set LESIONWISE_HAM10000 to where they are")
    return REAL


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what commands leave behind inside the test's folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LESIONWISE_CACHE", raising=False)


WriteKaggle = Callable[..., Path]


@pytest.fixture(scope="session")
def write_kaggle() -> WriteKaggle:
    """A function that writes a small data folder: coloured noise, a colour for each diagnosis."""

    def write(
        folder: Path, *, lesions: int = 13, photographs: int = 2, size: tuple[int, int] = (30, 40)
    ) -> Path:
        images = folder / "HAM10000_images_part_1"
        images.mkdir(parents=True)
        rng = np.random.default_rng(0)
        rows: list[tuple[str, ...]] = []
        for index in range(lesions * len(CODES)):
            dx = CODES[index % len(CODES)]
            for _ in range(1 + index % photographs):
                image_id = f"DRAWN_{len(rows):07d}"
                base = np.array([40, 90, 140]) + 25 * np.array(
                    [index % 7, (index % 7) ** 2 % 5, 3 - index % 7 // 2]
                )
                pixels = np.clip(rng.normal(base, 20, (*size, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(images / f"{image_id}.jpg", quality=90)
                rows.append((f"LESION_{index:07d}", image_id, dx, "histo", "50.0", "female", "back"))
        columns = ["lesion_id", "image_id", "dx", "dx_type", "age", "sex", "localization"]
        pd.DataFrame(rows, columns=columns).to_csv(folder / "HAM10000_metadata.csv", index=False)
        return folder

    return write


@pytest.fixture(scope="session")
def drawn_folder(tmp_path_factory: pytest.TempPathFactory, write_kaggle: WriteKaggle) -> Path:
    """A small data folder in the Kaggle layout; not to be changed."""
    return write_kaggle(tmp_path_factory.mktemp("drawn") / "data")


@pytest.fixture(scope="session")
def drawn(drawn_folder: Path) -> Dataset:
    """The same, read."""
    return read_dataset(drawn_folder)


class NotedProgress(Progress):
    """Notes all that is reported."""

    def __init__(self) -> None:
        self.runs: list[str] = []
        self.work: list[tuple[str, int, int]] = []
        self.bytes: list[tuple[str, int, int]] = []
        self.steps: list[tuple[int, int, int]] = []
        self.stages: list[tuple[str, int, int]] = []
        self.trainings: list[int] = []
        self.epochs: list[dict[str, float]] = []

    def on_run(self, title: str) -> None:
        self.runs.append(title)

    def on_work(self, title: str, done: int, total: int) -> None:
        self.work.append((title, done, total))

    def on_bytes(self, name: str, done: int, total: int) -> None:
        self.bytes.append((name, done, total))

    def on_stage(self, title: str, number: int, total: int) -> None:
        self.stages.append((title, number, total))

    def on_training(self, epochs: int) -> None:
        self.trainings.append(epochs)

    def on_step(self, epoch: int, done: int, total: int) -> None:
        self.steps.append((epoch, done, total))

    def on_epoch(self, row: dict[str, float]) -> None:
        self.epochs.append(row)


class StopAfter(Progress):
    """Ends a training as Ctrl-C does, when an epoch is finished."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_epoch(self, row: dict[str, float]) -> None:
        if row["epoch"] == self.epoch:
            raise KeyboardInterrupt


def make_recipe(**keys: object) -> Recipe:
    """Return a short recipe for tiny images, with some keys changed."""
    base = {"model": "small", "image_size": [24, 32], "epochs": 2, "batch_size": 16}
    return Recipe.model_validate({**base, **keys})


class Ended(NamedTuple):
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str


Lesionwise = Callable[..., Ended]


@pytest.fixture
def lesionwise(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Lesionwise:
    """The command line, run in this process."""

    def run(*arguments: object) -> Ended:
        capsys.readouterr()
        monkeypatch.setattr("sys.argv", ["lesionwise", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return Ended(int(ended.value.code or 0), *capsys.readouterr())

    return run
