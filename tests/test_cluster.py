"""What survives the loss of a machine, on a Ray cluster of two that run here."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from bundle.conftest import exported, graph  # noqa: F401 (pytest finds fixtures by name)
from conftest import WriteKaggle
from lesionwise.bundle.engine import load_model
from lesionwise.data.dataset import read_dataset
from lesionwise.data.pictures import find_pictures
from lesionwise.errors import MissingExtraError
from lesionwise.gallery.gallery import load_gallery
from lesionwise.predict.files import Output, predict_files
from lesionwise.predict.gallery import make_gallery
from predict.conftest import model  # noqa: F401 (the same)

IMAGES = 330
LIMIT_S = 300  # it takes some thirty on an idle machine
needs_ray = pytest.mark.skipif(
    find_spec("ray") is None or not Path("/proc").is_dir(), reason="Ray is not installed, or this is no Linux"
)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures") / "images"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index in range(IMAGES):
        pixels = rng.integers(0, 256, (45, 60, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{index:03d}.png")
    (folder / "100.png").write_bytes(b"no image")
    return folder


@pytest.fixture(scope="module")
def out(
    model: Path,  # noqa: F811
    images: Path,
    write_kaggle: WriteKaggle,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    folder = tmp_path_factory.mktemp("two-machines")
    data = write_kaggle(folder / "data", lesions=20)
    script = Path(__file__).with_name("two_machines.py")
    command: list[str | Path] = [sys.executable, script, model, images, data, folder]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=folder) as process:
        try:
            told = process.communicate(timeout=LIMIT_S)[1]
        except subprocess.TimeoutExpired:
            process.terminate()
            told = process.communicate()[1]
    assert process.returncode == 0, told[-4000:]
    return folder


@pytest.fixture(scope="module")
def seen(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "seen.json").read_text())
    return found


@needs_ray
def test_when_a_machine_dies_midway_no_image_is_lost_and_none_comes_twice(
    seen: dict[str, Any],
    out: Path,
    model: Path,  # noqa: F811
    images: Path,
    tmp_path: Path,
) -> None:
    [kill] = seen["predict"]["kills"]
    assert 0 < kill < IMAGES
    assert (seen["predict"]["predicted"], seen["predict"]["failed"]) == (IMAGES - 1, 1)
    table = pd.read_csv(out / "p.csv", dtype={"image_id": str})
    assert table["image_id"].is_unique
    predict_files(
        load_model(model, threads=1),
        find_pictures([str(images)]),
        Output(tmp_path / "p.csv", tmp_path / "e.csv"),
    )
    assert (out / "p.csv").read_bytes() == (tmp_path / "p.csv").read_bytes()
    assert (out / "e.csv").read_bytes() == (tmp_path / "e.csv").read_bytes()


@needs_ray
def test_a_gallery_of_a_cluster_is_that_of_one_machine(
    out: Path,
    model: Path,  # noqa: F811
) -> None:
    shared = load_gallery(out / "gallery.safetensors")
    engine, dataset = load_model(model, threads=1), read_dataset(out / "data")
    alone, faults = make_gallery(engine, dataset, shared.path, pictures=True)
    assert not faults
    assert shared.columns == alone.columns
    assert np.allclose(shared.embeddings, alone.embeddings, atol=1e-6)
    assert list(shared.pictures) == list(alone.pictures)


@needs_ray
def test_when_a_machine_dies_midway_no_finished_fold_is_repeated(seen: dict[str, Any]) -> None:
    folds = seen["folds"]
    [kill] = folds["kills"]
    assert 0 < len(kill) < 4
    assert folds["done"] == [1, 2, 3, 4]
    for name, files in kill.items():
        assert files
        assert folds["after"][name] == files


@needs_ray
def test_what_ray_left_is_what_the_same_command_without_it_goes_on_from(seen: dict[str, Any]) -> None:
    assert seen["folds"]["again"] == []
    assert seen["folds"]["same"]


@needs_ray
def test_a_fold_of_a_cluster_records_the_command_that_a_user_typed(out: Path) -> None:
    record = json.loads((out / "folds" / "fold-1" / "environment.json").read_text())
    assert "redis" not in record["command"]
    assert str(out) in record["command"]


@pytest.mark.skipif(find_spec("ray") is not None, reason="Ray is installed")
def test_without_ray_the_install_line_is_printed() -> None:
    from lesionwise.cluster import joined  # noqa: PLC0415

    with pytest.raises(MissingExtraError, match=r'pip install "lesionwise\[ray\]"'), joined():
        pass
