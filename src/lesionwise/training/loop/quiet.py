"""Tips and remarks of the libraries under a training, kept out of its output.

Here: each of them with its reason. Not here: what lesionwise itself says, which is `cli`'s.
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_TALKATIVE: Final = (
    "lightning.pytorch",
    "lightning.fabric",
    "mlflow",
    "alembic",
    "torch.utils.cpp_extension",
)


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Keep Lightning's tips out of the output while it works."""
    loggers = {name: logging.getLogger(name) for name in _TALKATIVE}
    levels = {name: logger.level for name, logger in loggers.items()}
    for logger in loggers.values():
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            # Rows of a memory map are copied in milliseconds: worker processes would only move them twice.
            warnings.filterwarnings("ignore", message=".*does not have many workers.*")
            # History keeps its own row per epoch; there is nothing else to log.
            warnings.filterwarnings("ignore", message=".*no logger configured.*")
            # Lightning asks PyTorch in a way that newer releases are leaving.
            warnings.filterwarnings("ignore", message=".*LeafSpec.* is deprecated.*")
            # A resumed run finds its own folder, which is the point.
            warnings.filterwarnings("ignore", message=".*Checkpoint directory .* exists and is not empty.*")
            # Alembic and SQLAlchemy, with which MLflow keeps its store, disagree on what is out of date.
            warnings.filterwarnings("ignore", message=".*noload.*loader strategy is deprecated.*")
            # On a login node of a cluster one may well train without srun.
            warnings.filterwarnings("ignore", message=".*`srun` command is available.*")
            yield
    finally:
        for name, logger in loggers.items():
            logger.setLevel(levels[name])
