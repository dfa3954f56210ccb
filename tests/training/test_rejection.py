"""Drawn images only: the stage after training, and what comes of it in a bundle."""

import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from conftest import make_recipe
from lesionwise.bundle.engine import Engine
from lesionwise.data.foreign import FOREIGN
from lesionwise.data.images import read_image
from lesionwise.errors import RunError
from lesionwise.evaluation.rejection import SEEN, fit_members, has_numbers, run_rejection
from lesionwise.execution import Execution
from lesionwise.export.run import export_run
from lesionwise.run_folder import RunFolder
from lesionwise.split.split_file import read_split
from lesionwise.training.rejection import changed, foreign_pictures, some_of_each
from lesionwise.training.run import train


@pytest.fixture(scope="module")
def trained(drawn_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    folder = tmp_path_factory.mktemp("rejecting")
    return train(
        make_recipe(), drawn_folder, out=folder / "run", execution=Execution(cache_root=folder / "cache")
    )


def test_there_is_a_row_for_each_picture_that_was_looked_at(trained: RunFolder) -> None:
    frame = read_split(trained.split).frame
    rows = {kind: len(np.load(trained.embeddings(kind))) for kind in SEEN}
    assert rows["cal"] == rows["cal-changed"] == (frame["part"] == "cal").sum()
    assert (
        rows["train"] == rows["train-changed"] == (frame["part"] == "train").sum()
    )  # few enough to take all
    assert rows["outsiders"] % len(FOREIGN) == 0


def test_of_each_diagnosis_at_most_as_many_images_are_looked_at() -> None:
    y = np.r_[np.zeros(1000, int), np.ones(20, int), np.full(400, 2)]
    some = some_of_each(y, np.arange(10, 1420))
    assert np.bincount(y[some]).tolist() == [150, 20, 150]
    assert len(set(some)) == len(some)
    assert some.min() >= 10


def test_the_pictures_it_is_learnt_from_are_the_same_each_time(drawn_folder: Path) -> None:
    pixels = np.stack([read_image(path, (24, 32)) for path in sorted(drawn_folder.rglob("*.jpg"))[:3]])
    for make in (foreign_pictures, partial(changed, part="train")):
        once, again = (list(make(make_recipe(), pixels, np.arange(3))) for _ in range(2))
        np.testing.assert_array_equal(np.stack(once), np.stack(again))


def test_the_cutoff_is_set_by_other_cameras_than_those_it_is_learnt_from(drawn_folder: Path) -> None:
    pixels = np.stack([read_image(path, (24, 32)) for path in sorted(drawn_folder.rglob("*.jpg"))[:3]])
    learnt, held = (
        np.stack(list(changed(make_recipe(), pixels, np.arange(3), part))) for part in ("train", "cal")
    )
    assert (learnt != held).any(axis=(1, 2, 3)).all()


def test_an_ensemble_rejects_by_all_embeddings_at_once(trained: RunFolder) -> None:
    alone = np.load(trained.embeddings("train")).shape[1]
    assert len(fit_members([trained, trained]).direction) == 2 * alone


def test_runs_that_only_measure_are_spared_the_work(drawn_folder: Path, tmp_path: Path) -> None:
    leaky = train(make_recipe(epochs=1), drawn_folder, split="image", out=tmp_path / "leaky")
    assert not has_numbers(leaky)
    assert run_rejection(leaky) is None


def test_a_damaged_array_is_named(trained: RunFolder, tmp_path: Path) -> None:
    copy = RunFolder(tmp_path / "copy")
    shutil.copytree(trained.path, copy.path)
    copy.embeddings("cal").write_bytes(b"nothing")
    with pytest.raises(
        RunError, match="the embeddings of train, train-changed, outsiders, cal, cal-changed cannot be read"
    ):
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
    strange = [
        FOREIGN[kind](known[number], np.random.default_rng(number))
        for kind in FOREIGN
        for number in range(len(known))
    ]
    cutoff = engine.description.ood_cutoff
    assert cutoff == fit_members([trained]).cutoff
    usual, foreign = (engine.predict(pictures).ood_score for pictures in (known, np.stack(strange)))
    assert usual is not None
    assert foreign is not None
    assert np.mean(usual < cutoff) > 0.8  # ten images in cal promise little
    assert np.mean(foreign[:, None] > usual) > 0.8  # a network of three epochs has not seen much
    said = list(engine.predict(strange[:1]).decisions.decision)
    assert (said == ["not_a_lesion_image"]) == (foreign[0] >= cutoff)
