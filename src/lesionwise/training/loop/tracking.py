"""Experiment tracking: the epochs of a run where a tool for comparing runs reads them.

Not here: `history.csv` (`history`), which every run has and all other commands read.
"""

import os
from importlib.util import find_spec
from typing import Final

from lightning.pytorch.loggers import CSVLogger, Logger, MLFlowLogger, TensorBoardLogger

from lesionwise.errors import MissingExtraError
from lesionwise.files import read_json, write_json
from lesionwise.recipe import Recipe
from lesionwise.run_folder import RunFolder

_EXPERIMENT: Final = "lesionwise"
_STORE: Final = "mlflow.db"
_RECORD: Final = "mlflow.json"


def verify_logger(recipe: Recipe) -> None:
    """Make sure that the recipe's logger is installed, before anything is done."""
    if recipe.logger == "mlflow" and not all(map(find_spec, ("mlflow", "sqlalchemy", "alembic"))):
        raise MissingExtraError("mlflow", "MLflow with its local store")


def make_logger(recipe: Recipe, run: RunFolder, *, seed: int) -> Logger | None:
    """Return the recipe's logger, which knows the recipe already, or None if it asks for none.

    A resumed run goes on with its record in MLflow and TensorBoard; Lightning's CSV logger begins another
    file, `version_1`.

    Args:
        run: It holds TensorBoard and CSV logs. MLflow's local store is beside it, so that runs can be
            compared; `MLFLOW_TRACKING_URI` names another.
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


def _mlflow_logger(run: RunFolder) -> MLFlowLogger:
    # MLflow reports its use to its makers unless this is set; set "false" to allow it.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    store = (run.path.parent / _STORE).resolve()
    record = run.path / _RECORD
    logger = MLFlowLogger(
        _EXPERIMENT,
        run_name=run.path.name,
        tracking_uri=os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{store}",
        run_id=read_json(record)["run_id"] if record.exists() else None,
    )
    write_json(record, {"run_id": logger.run_id})
    return logger
