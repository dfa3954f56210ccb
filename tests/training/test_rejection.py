"""Drawn images only: the stage after training, and what comes of it in a bundle."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import make_recipe
from lesionwise.bundle.engine import Engine
from lesionwise.data.images import read_image
from lesionwise.errors import RunError
from lesionwise.evaluation.runs.rejection import fit_members, has_numbers, run_rejection
from lesionwise.execution import Execution
from lesionwise.export.run import export_run
from lesionwise.run_folder import RunFolder
from lesionwise.split.split_file import read_split
from lesionwise.training.run import train


@pytest.fixture(scope="module")
def trained(drawn_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    folder = tmp_path_factory.mktemp("rejecting")
    return train(
        make_recipe(), drawn_folder, out=folder / "run", execution=Execution(cache_root=folder / "cache")
    )


def test_there_is_a_row_for_each_image_of_train_and_cal(trained: RunFolder) -> None:
    parts = read_split(trained.split).frame["part"]
    for part in ("train", "cal"):
        for path in (trained.embeddings(part), trained.appearance(part)):
            assert len(np.load(path)) == (parts == part).sum()


def test_an_ensemble_rejects_by_all_embeddings_at_once(trained: RunFolder) -> None:
    alone = np.load(trained.embeddings("train")).shape[1]
    assert len(fit_members([trained, trained]).embedding.space.middle) == 2 * alone


def test_runs_that_only_measure_are_spared_the_work(drawn_folder: Path, tmp_path: Path) -> None:
    leaky = train(make_recipe(epochs=1), drawn_folder, split="image", out=tmp_path / "leaky")
    assert not has_numbers(leaky)
    assert run_rejection(leaky) is None


def test_a_damaged_array_is_named(trained: RunFolder, tmp_path: Path) -> None:
    copy = RunFolder(tmp_path / "copy")
    shutil.copytree(trained.path, copy.path)
    copy.embeddings("cal").write_bytes(b"nothing")
    with pytest.raises(RunError, match="embeddings of train and cal cannot be read"):
        fit_members([copy])


def test_the_bundle_lets_lesion_images_pass_and_stops_others(
    trained: RunFolder, drawn_folder: Path, tmp_path: Path
) -> None:
    old = RunFolder(tmp_path / "old")
    shutil.copytree(trained.path, old.path)
    old.embeddings("train").unlink()  # a run from before there was such a stage
    engine = Engine(
        export_run(
            old, tmp_path / "model.onnx", execution=Execution(cache_root=trained.path.parent / "cache")
        )
    )
    files = sorted(drawn_folder.rglob("*.jpg"))[::4]
    known = np.stack([read_image(path, (24, 32)) for path in files])
    bars = np.tile(np.uint8([0, 255]), (24, 16))[..., None].repeat(3, axis=2)
    strange = np.stack([bars, 255 - known[0], np.full_like(bars, 255), _blurred(known[0])])
    cutoff = engine.description.ood_cutoff
    assert cutoff == fit_members([trained]).cutoff
    assert np.mean(engine.predict(known).ood_score < cutoff) > 0.8  # ten images in cal promise little
    assert list(engine.predict(strange).decisions.decision) == ["not_a_lesion_image"] * len(strange)


def _blurred(pixels: np.ndarray) -> np.ndarray:
    size = pixels.shape[1::-1]
    return np.asarray(Image.fromarray(pixels).resize((4, 3)).resize(size, Image.Resampling.BICUBIC))
