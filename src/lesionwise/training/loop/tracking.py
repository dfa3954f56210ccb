"""Experiment tracking: the epochs and the model of a run, in the form that tools for comparing runs read.

Not here: `history.csv` (`history`), which every run has and all other commands read.
"""

import os
from importlib.util import find_spec
from typing import Any, Final

import numpy as np
from lightning.pytorch.loggers import CSVLogger, Logger, MLFlowLogger, TensorBoardLogger

from lesionwise.bundle.benchmark import draw_images
from lesionwise.bundle.engine import Engine
from lesionwise.bundle.load import Bundle
from lesionwise.errors import MissingExtraError, RunError
from lesionwise.files import read_json, write_json
from lesionwise.recipe import Recipe
from lesionwise.run_folder import RunFolder
from lesionwise.training.loop.processes import quiet_lightning

_EXPERIMENT: Final = "lesionwise"
_STORE: Final = "mlflow.db"
_ARTIFACTS: Final = "mlflow-artifacts"
_RECORD: Final = "mlflow.json"


def verify_logger(recipe: Recipe) -> None:
    """Make sure that the recipe's logger is installed, before the work starts."""
    if recipe.logger == "mlflow":
        _verify_installed()


def make_logger(recipe: Recipe, run: RunFolder, *, seed: int) -> Logger | None:
    """Return the logger that a recipe asks for, with the recipe as its first record; None for no logger.

    A resumed run continues its record in MLflow and TensorBoard. Lightning's CSV logger starts another file,
    `version_1`.

    Args:
        run: Folder of the TensorBoard and CSV logs. MLflow's local store is beside it, so that runs can be
            compared; `MLFLOW_TRACKING_URI` names another store.
    """
    match recipe.logger:
        case None:
            return None
        case "csv":
            logger: Logger = CSVLogger(run.path, name="csv")
        case "tensorboard":
            logger = TensorBoardLogger(run.path, name=None, version="tensorboard", default_hp_metric=False)
        case "mlflow":
            logger = _mlflow_logger(run)
    logger.log_hyperparams({**recipe.model_dump(mode="json", exclude_none=True), "seed": seed})
    return logger


def verify_tracked(run: RunFolder) -> bool:
    """Return whether a run is tracked in MLflow, and make sure that its record there can be written.

    Raises:
        MissingExtraError: If MLflow is not installed.
        RunError: If the store has no such record.
    """
    record = run.path / _RECORD
    if not record.exists():
        return False
    _verify_installed()
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 (an extra)
    from mlflow.tracking import MlflowClient  # noqa: PLC0415 (the same)

    _stay_silent()
    remedy = f"Set MLFLOW_TRACKING_URI to the store that has it, or remove {record} to leave MLflow out."
    if not _named_store() and not (run.path.parent / _STORE).exists():  # MLflow would make an empty store
        raise RunError(f"{run.path}: is tracked in MLflow, but there is no {_STORE} beside it. {remedy}")
    try:
        with quiet_lightning():
            MlflowClient(_store_of(run)).get_run(read_json(record)["run_id"])
    except (MlflowException, KeyError) as error:
        raise RunError(
            f"{run.path}: is tracked in MLflow, but its record cannot be read. {remedy}"
        ) from error
    return True


def log_bundle(run: RunFolder, bundle: Bundle) -> None:
    """Log a bundle as an ONNX model of a run that is tracked in MLflow, with a signature and an example.

    The example is a drawn lesion, so that no image of the data leaves the machine.

    Raises:
        RunError: If MLflow rejects the model.
    """
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 (an extra)

    try:
        with quiet_lightning():
            _log(run, Engine(bundle))
    except MlflowException as error:
        raise RunError(
            f"{bundle.path}: was written, but MLflow rejected it as the model of {run.path}: {error}"
        ) from error


def _log(run: RunFolder, engine: Engine) -> None:
    import mlflow.onnx  # noqa: PLC0415 (an extra)
    import onnx  # noqa: PLC0415 (a second)
    from mlflow.models import Model, infer_signature  # noqa: PLC0415 (an extra)
    from mlflow.tracking import MlflowClient  # noqa: PLC0415 (the same)

    takes = engine.description
    example: dict[str, Any] = {"image": draw_images(takes.input.size, 1)}
    if takes.metadata is not None:
        example["metadata"] = np.zeros((1, takes.metadata.length), np.float32)
    mlflow.set_tracking_uri(_store_of(run))
    record = MlflowClient().get_run(read_json(run.path / _RECORD)["run_id"]).info
    kept = MlflowClient().create_logged_model(record.experiment_id, "model", source_run_id=record.run_id)
    Model.log(
        None,
        mlflow.onnx,
        run_id=record.run_id,
        model_id=kept.model_id,
        onnx_model=onnx.load_from_string(engine.bundle.content),
        signature=infer_signature(example, engine.run(example["image"], example.get("metadata"))),
        input_example=example,
        onnx_execution_providers=["CPUExecutionProvider"],
        pip_requirements=[f"mlflow=={mlflow.__version__}", "onnx", "onnxruntime"],
        save_as_external_data=False,
    )


def _verify_installed() -> None:
    if not all(map(find_spec, ("mlflow", "sqlalchemy", "alembic", "onnxruntime"))):
        raise MissingExtraError("mlflow", "MLflow with its local store and ONNX Runtime")


def _stay_silent() -> None:
    """Turn off MLflow's reports of its use to its makers, unless the environment says "false"."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")


def _named_store() -> str | None:
    return os.environ.get("MLFLOW_TRACKING_URI") or None


def _store_of(run: RunFolder) -> str:
    return _named_store() or f"sqlite:///{(run.path.parent / _STORE).resolve()}"


def _mlflow_logger(run: RunFolder) -> MLFlowLogger:
    _stay_silent()
    record = run.path / _RECORD
    logger = MLFlowLogger(
        _EXPERIMENT,
        run_name=run.path.name,
        tracking_uri=_store_of(run),
        artifact_location=None if _named_store() else (run.path.parent / _ARTIFACTS).resolve().as_uri(),
        run_id=read_json(record)["run_id"] if verify_tracked(run) else None,
    )
    write_json(record, {"run_id": logger.run_id})
    return logger
