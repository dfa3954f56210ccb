from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from conftest import make_recipe
from lesionwise.data.dataset import Dataset
from lesionwise.evaluation.predictions import read_predictions
from lesionwise.run_folder import RunFolder
from lesionwise.training import probe as training_probe
from lesionwise.training.fit import load_best_network
from lesionwise.training.prepare import TrainingData, prepare
from lesionwise.training.run import train

RECIPE = {"model": "timm:test_resnet", "image_size": [24, 32], "probe": "logistic", "epochs": 1, "tta": 4}


@pytest.fixture(scope="module")
def probed(drawn_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[RunFolder, TrainingData]:
    folder = tmp_path_factory.mktemp("probed")
    run = train(make_recipe(**RECIPE), drawn_folder, out=folder / "run", cache_root=folder / "cache")
    data = prepare(drawn_folder, (24, 32), split_path=run.split, cache_root=folder / "cache")
    return run, data


def features_of(data: TrainingData) -> np.ndarray:
    (path,) = data.cache.path.glob("features-*.npy")
    return np.load(path)


def test_a_probe_leaves_the_files_of_any_run(probed: tuple[RunFolder, TrainingData]) -> None:
    run = probed[0]
    for path in (run.config, run.history, run.timing, run.predictions("val"), run.predictions("cal")):
        assert path.is_file()
    assert not run.predictions("test").exists()
    history = pd.read_csv(run.history)
    assert len(history) == 1
    assert history.notna().all().all()
    tried = pd.read_csv(run.path / "probe.csv")
    assert tried["cv_balanced_accuracy"].between(0, 1).all()


def test_its_network_says_what_the_layer_says_of_the_kept_features(
    probed: tuple[RunFolder, TrainingData],
) -> None:
    run, data = probed
    layer = load_best_network(run, make_recipe(**RECIPE)).head.linear
    with torch.inference_mode():
        expected = layer(torch.from_numpy(features_of(data)[data.rows("val")])).numpy()
    logits = read_predictions(run.predictions("val")).logits
    np.testing.assert_allclose(logits, expected, rtol=1e-3, atol=1e-4)


def test_features_are_computed_once_for_a_network_and_its_view(
    drawn_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed = []
    really = training_probe._compute  # noqa: SLF001 (how often it runs is the point)

    def counted(*arguments: object, **options: object) -> object:
        computed.append(1)
        return really(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(training_probe, "_compute", counted)

    def run(name: str, **keys: object) -> int:
        train(
            make_recipe(**{**RECIPE, **keys}),
            drawn_folder,
            out=tmp_path / name,
            cache_root=tmp_path / "cache",
        )
        return len(computed)

    assert run("first") == 1
    assert run("weighted", class_weight=1.0) == 1
    assert run("svm", probe="svm") == 1
    assert run("zoomed", eval_zoom=1.2) == 2
    assert run("single", tta=1) == 3


def test_a_probe_learns_the_drawn_colours(probed: tuple[RunFolder, TrainingData], drawn: Dataset) -> None:
    val = read_predictions(probed[0].predictions("val"))
    assert val.y_true is not None
    assert (val.y_prob.argmax(1) == val.y_true).mean() > 1.5 / 7
    assert len(drawn.y) == len(features_of(probed[1]))
