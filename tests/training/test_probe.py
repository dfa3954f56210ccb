from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import timm
import torch
from safetensors.torch import save_file

from conftest import make_recipe
from lesionwise.bundle.engine import load_model
from lesionwise.data.dataset import Dataset
from lesionwise.evaluation.predictions import read_predictions
from lesionwise.execution import Execution
from lesionwise.export.run import export_run
from lesionwise.models.network import Network
from lesionwise.recipe import Recipe
from lesionwise.run_folder import RunFolder
from lesionwise.training import features as training_features
from lesionwise.training import rejection
from lesionwise.training.features import known_logits
from lesionwise.training.fit import load_best_network, predict_logits
from lesionwise.training.prepare import TrainingData, prepare
from lesionwise.training.rejection import embed, write_numbers
from lesionwise.training.run import train

RECIPE = {
    "model": "timm:test_resnet", "image_size": [24, 32], "probe": "logistic", "epochs": 1, "tta": 4,
    "batch_size": 64,
}  # fmt: skip
LAYERED = {**RECIPE, "layers": ["layer2.0.bn1", "layer4.0.act2"], "directions": 20}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("weights") / "start.safetensors"
    state = timm.create_model("test_resnet", num_classes=0).state_dict()
    save_file(state, path, {"mean": "0.4,0.4,0.4", "std": "0.2,0.2,0.2"})
    return str(path)


@pytest.fixture(scope="module")
def recipe(weights: str) -> Recipe:
    return make_recipe(**RECIPE, weights=weights)


@pytest.fixture(scope="module")
def probed(
    recipe: Recipe, drawn_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[RunFolder, TrainingData]:
    folder = tmp_path_factory.mktemp("probed")
    run = train(recipe, drawn_folder, out=folder / "run", execution=Execution(cache_root=folder / "cache"))
    data = prepare(drawn_folder, recipe, split=run.split, execution=Execution(cache_root=folder / "cache"))
    return run, data


def features_of(data: TrainingData) -> np.ndarray:
    (path,) = data.cache.path.glob("features-*.npy")
    return np.asarray(np.load(path))


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
    recipe: Recipe, probed: tuple[RunFolder, TrainingData]
) -> None:
    run, data = probed
    network = load_best_network(run, recipe)
    with torch.inference_mode():
        expected = network.head.linear(torch.from_numpy(features_of(data)[data.rows("val")])).numpy()
    stored = read_predictions(run.predictions("val")).logits
    assert stored is not None
    np.testing.assert_allclose(stored, expected, rtol=1e-3, atol=1e-4)
    computed = predict_logits(network, recipe, data.pixels, data.rows("val"), device="cpu")
    np.testing.assert_allclose(computed, expected, rtol=1e-3, atol=1e-3)


def test_features_are_computed_once_for_a_network_and_its_view(
    weights: str, drawn_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed = []
    really = training_features._compute  # noqa: SLF001 (how often it runs is the point)

    def counted(*arguments: object, **options: object) -> object:
        computed.append(1)
        return really(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(training_features, "_compute", counted)

    def run(name: str, **keys: object) -> int:
        train(
            make_recipe(**{**RECIPE, "weights": weights, **keys}),
            drawn_folder,
            out=tmp_path / name,
            execution=Execution(cache_root=tmp_path / "cache"),
        )
        return len(computed)

    assert run("first") == 1
    assert run("weighted", class_weight=1.0) == 1
    assert run("svm", probe="svm") == 1
    assert run("zoomed", eval_zoom=1.2) == 2
    assert run("single", tta=1) == 3
    for path in tmp_path.glob("cache/*/features-*.npy"):
        content = path.read_bytes()
        path.write_bytes(content[:-4] + b"\1\2\3\4")
    assert run("damaged") == 4
    for path in tmp_path.glob("cache/*/features-*.sha256"):
        path.unlink()
    assert run("unknown") == 5


def test_a_probe_learns_the_drawn_colours(probed: tuple[RunFolder, TrainingData], drawn: Dataset) -> None:
    val = read_predictions(probed[0].predictions("val"))
    assert val.y_true is not None
    assert (val.y_prob.argmax(1) == val.y_true).mean() > 1.5 / 7
    assert len(drawn.y) == len(features_of(probed[1]))


@pytest.mark.parametrize("metadata", [[], ["age", "sex", "localization"]], ids=["image alone", "metadata"])
def test_a_layered_probe_answers_from_kept_features_as_its_network_does(
    weights: str, drawn_folder: Path, tmp_path: Path, metadata: list[str]
) -> None:
    recipe = make_recipe(**LAYERED, weights=weights, metadata=metadata)
    run = train(
        recipe, drawn_folder, out=tmp_path / "run", execution=Execution(cache_root=tmp_path / "cache")
    )
    data = prepare(drawn_folder, recipe, split=run.split, execution=Execution(cache_root=tmp_path / "cache"))
    network, rows = load_best_network(run, recipe), data.rows("val")
    assert network.eval().outputs(torch.rand(1, 3, 24, 32)).embedding.shape == (1, 20)
    told = data.metadata(recipe.metadata)
    computed = predict_logits(network, recipe, data.pixels, rows, metadata=told, device="cpu")
    stored = read_predictions(run.predictions("val")).logits
    assert stored is not None
    np.testing.assert_allclose(stored, computed, rtol=1e-3, atol=1e-3)
    kept = known_logits(network, recipe, data, rows)
    assert kept is not None
    np.testing.assert_allclose(kept, computed, rtol=1e-3, atol=1e-3)
    untold = predict_logits(network, recipe, data.pixels, rows, device="cpu")
    assert np.allclose(untold, computed, atol=1e-6) == (not metadata)
    assert len(list(data.cache.path.glob("features-*.npy"))) == 1


def test_a_layered_probe_that_is_told_more_is_served_as_it_was_trained(
    weights: str, drawn_folder: Path, drawn: Dataset, tmp_path: Path
) -> None:
    recipe = make_recipe(**LAYERED, weights=weights, metadata=["sex", "age"])
    run = train(
        recipe, drawn_folder, out=tmp_path / "run", execution=Execution(cache_root=tmp_path / "cache")
    )
    export_run(
        run, tmp_path / "model.onnx", execution=Execution(cache_root=tmp_path / "cache")
    )  # compares a few images itself
    engine, said = load_model(tmp_path / "model.onnx", threads=1), read_predictions(run.predictions("val"))
    table = drawn.table.set_index("image_id").loc[said.image_id.tolist()]
    paths = [drawn_folder / path for path in table["path"]]
    told = engine.predict(paths, table[["age", "sex"]].to_dict("records"))
    np.testing.assert_allclose(told.probabilities, said.y_prob, atol=1e-3)
    assert told.cam is None
    assert np.abs(engine.predict(paths).logits - told.logits).max() > 1e-5


@pytest.mark.parametrize("keys", [RECIPE, LAYERED], ids=["last map", "layers"])
def test_what_it_rejects_is_learnt_from_the_kept_features_without_running_its_network_again(
    keys: dict[str, object],
    weights: str,
    drawn_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recipe = make_recipe(**keys, weights=weights)
    run = train(
        recipe, drawn_folder, out=tmp_path / "run", execution=Execution(cache_root=tmp_path / "cache")
    )
    data = prepare(drawn_folder, recipe, split=run.split, execution=Execution(cache_root=tmp_path / "cache"))
    pictures = (data.pixels[row] for row in data.rows("cal"))
    computed = embed(load_best_network(run, recipe), recipe, pictures)
    np.testing.assert_allclose(np.load(run.embeddings("cal")), computed, rtol=1e-4, atol=1e-4)

    looked_at: list[int] = []

    def count(_network: Network, _recipe: Recipe, pictures: Iterable[np.ndarray], **_: object) -> np.ndarray:
        looked_at.append(sum(1 for _ in pictures))
        return np.zeros((looked_at[-1], computed.shape[1]), np.float32)

    monkeypatch.setattr(rejection, "embed", count)
    write_numbers(run, recipe, data, device="cpu")
    assert looked_at == [
        len(np.load(run.embeddings(kind))) for kind in ("train-changed", "cal-changed", "outsiders")
    ]
    np.testing.assert_allclose(np.load(run.embeddings("cal")), computed, rtol=1e-4, atol=1e-4)
