import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from conftest import make_recipe
from lesionwise.bundle.load import Bundle
from lesionwise.errors import MissingExtraError, RecipeError, RunError
from lesionwise.export import run as export_module
from lesionwise.files import read_json, write_json
from lesionwise.recipe import load_recipe
from lesionwise.run_folder import RunFolder
from lesionwise.training.loop import tracking
from lesionwise.training.run import train


def test_lightnings_csv_holds_the_epochs_and_the_recipe(drawn_folder: Path, tmp_path: Path) -> None:
    run = train(make_recipe(logger="csv"), drawn_folder, out=tmp_path / "run")
    logged = pd.read_csv(run.path / "csv" / "version_0" / "metrics.csv")
    pd.testing.assert_series_equal(logged["val_loss"], pd.read_csv(run.history)["val_loss"], rtol=1e-4)
    assert "batch_size: 16" in (run.path / "csv" / "version_0" / "hparams.yaml").read_text()


def test_a_run_without_a_logger_has_its_history_alone(drawn_folder: Path, tmp_path: Path) -> None:
    run = train(make_recipe(epochs=1), drawn_folder, out=tmp_path / "run")
    assert not {"csv", "tensorboard", "mlflow.json"} & {path.name for path in run.path.iterdir()}


def test_an_unknown_logger_is_refused() -> None:
    with pytest.raises(RecipeError, match="logger"):
        load_recipe("small", ["logger=wandb"])


def test_a_missing_extra_prints_its_install_line_before_anything_is_done(
    drawn_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "find_spec", lambda name: None if name == "mlflow" else name)
    with pytest.raises(MissingExtraError, match=r'pip install "lesionwise\[mlflow\]"'):
        train(make_recipe(logger="mlflow"), drawn_folder, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


LOGGED = """
import json, os, socket, sys
tried = []
def refuse(self, address):
    if self.family != socket.AF_UNIX:
        tried.append(address)
        raise OSError("no network in this test")
socket.socket.connect = refuse
from pathlib import Path
import numpy as np
from onnx.reference import ReferenceEvaluator
from lesionwise.bundle.engine import Engine
from lesionwise.export.run import export_run
from lesionwise.recipe import load_recipe
from lesionwise.run_folder import RunFolder
from lesionwise.training.loop.tracking import log_bundle, verify_tracked
from lesionwise.training.run import train
if __name__ == "__main__":
    for folder in ("a", "b"):
        recipe = load_recipe(sys.argv[1], ["logger=mlflow"])
        train(recipe, sys.argv[2], out=os.path.join(sys.argv[3], folder))
    run = RunFolder(Path(sys.argv[3], "a"))
    assert verify_tracked(run)
    bundle = export_run(run, run.path / "model.onnx")
    log_bundle(run, bundle)
    import mlflow, mlflow.onnx, mlflow.pyfunc
    from mlflow.tracking import MlflowClient
    client = MlflowClient("sqlite:///" + os.path.join(sys.argv[3], "mlflow.db"))
    experiment = client.get_experiment_by_name("lesionwise")
    [model] = client.search_logged_models([experiment.experiment_id])
    colours = np.random.default_rng(0).integers(0, 256, (8, 1, 1, 3), np.uint8)
    pixels = np.tile(colours, (1, 24, 32, 1))
    expected = Engine(bundle).run(pixels)["probabilities"]
    graph = mlflow.onnx.load_model(model.model_uri)
    found = ReferenceEvaluator(graph).run(["probabilities"], {"image": pixels})[0]
    plain = mlflow.pyfunc.load_model(model.model_uri)
    served = plain.predict({"image": pixels})["probabilities"]
    logged = {
        "run": client.get_run(model.source_run_id).info.run_name,
        "differences": [float(abs(answers - expected).max()) for answers in (found, served)],
        "spread": float(np.ptp(expected, axis=0).max()),
        "inputs": [[port.name, list(port.shape), str(port.type)] for port in plain.metadata.signature.inputs],
        "example": list(plain.input_example["image"].shape),
        "same": graph.SerializeToString() == bundle.content,
    }
    runs = [(run.info.run_name, run.info.status, run.data.params["batch_size"],
             [point.value for point in client.get_metric_history(run.info.run_id, "val_loss")])
            for run in client.search_runs([experiment.experiment_id])]
    print(json.dumps({"tried": tried, "runs": runs, "logged": logged}))
"""


def test_mlflow_keeps_runs_and_the_exported_model_beside_them_and_asks_no_network(
    drawn_folder: Path, tmp_path: Path
) -> None:
    pytest.importorskip("mlflow", reason="the extra mlflow is not installed")
    (tmp_path / "recipe.toml").write_text(make_recipe().to_toml())
    home = tmp_path / "home"
    home.mkdir()
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW")}
    command: list[str | Path] = [
        sys.executable,
        "-c",
        LOGGED,
        tmp_path / "recipe.toml",
        drawn_folder,
        tmp_path / "runs",
    ]
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=600, env={**clean, "HOME": str(home)}
    )
    assert done.returncode == 0, done.stderr
    assert "arning" not in done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["tried"] == []
    assert not [path for path in home.rglob("*") if "mlflow" in path.name]  # Matplotlib leaves its folders
    assert sorted(run[0] for run in found["runs"]) == ["a", "b"]
    for name, status, batch_size, losses in found["runs"]:
        assert (status, batch_size) == ("FINISHED", "16")
        history = pd.read_csv(tmp_path / "runs" / name / "history.csv")
        assert losses == pytest.approx(history["val_loss"].tolist(), rel=1e-4)
    logged = found["logged"]
    assert max(logged.pop("differences")) < 1e-5
    assert logged.pop("spread") > 0.01
    assert logged == {
        "run": "a",
        "inputs": [["image", [-1, 24, 32, 3], "uint8"]],
        "example": [1, 24, 32, 3],
        "same": True,
    }


def test_a_record_that_the_store_lacks_is_named_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow", reason="the extra mlflow is not installed")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    run = RunFolder(tmp_path / "run")
    assert not tracking.verify_tracked(run)
    write_json(run.path / "mlflow.json", {"run_id": "4711"})
    with pytest.raises(RunError, match=r"no mlflow\.db beside it\. Set MLFLOW_TRACKING_URI"):
        tracking.verify_tracked(run)
    assert not (tmp_path / "mlflow.db").exists()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/other.db")
    with pytest.raises(RunError, match="its record cannot be read"):
        tracking.verify_tracked(run)
    write_json(run.path / "mlflow.json", {})
    with pytest.raises(RunError, match="its record cannot be read"):
        tracking.verify_tracked(run)


def test_an_export_that_only_measures_logs_no_model() -> None:
    """Only `bundle export` logs: a store may be a server that others read."""
    for name in ("log_bundle", "verify_tracked"):
        assert not hasattr(export_module, name)


def test_a_store_that_takes_no_model_is_named_with_the_bundle_that_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exceptions = pytest.importorskip("mlflow.exceptions", reason="the extra mlflow is not installed")

    def refuse(*_: object) -> None:
        raise exceptions.MlflowException("no such endpoint")

    monkeypatch.setattr(tracking, "_log", refuse)
    monkeypatch.setattr(tracking, "Engine", lambda bundle: bundle)
    written = Bundle(tmp_path / "model.onnx", b"", "0" * 64, None)  # type: ignore[arg-type]
    with pytest.raises(RunError, match=r"model\.onnx: was written, but MLflow .*: no such endpoint"):
        tracking.log_bundle(RunFolder(tmp_path / "run"), written)


def test_a_resumed_run_goes_on_with_its_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow", reason="the extra mlflow is not installed")
    asked: list[str | None] = []

    class Stand:
        run_id = "4711"

        def __init__(self, *_: object, run_id: str | None, **kept: str) -> None:
            asked.append(run_id)
            assert kept["tracking_uri"] == f"sqlite:///{(tmp_path / 'mlflow.db').resolve()}"

        def log_hyperparams(self, values: dict[str, object]) -> None:
            assert values["seed"] == 5

    monkeypatch.setattr(tracking, "MLFlowLogger", Stand)
    monkeypatch.setattr(tracking, "verify_tracked", lambda run: (run.path / "mlflow.json").exists())
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("MLFLOW_DISABLE_TELEMETRY", raising=False)
    run = RunFolder(tmp_path / "run")
    for _ in range(2):
        tracking.make_logger(make_recipe(logger="mlflow"), run, seed=5)
    assert asked == [None, "4711"]
    assert read_json(run.path / "mlflow.json") == {"run_id": "4711"}
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
