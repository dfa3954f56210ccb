"""Skin-lesion classification that you can check.

The public names are loaded when they are first used, so that importing the package stays cheap.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lesionwise.bundle.engine import load_model
    from lesionwise.data.dataset import Dataset, read_dataset
    from lesionwise.evaluation.scores.evaluate import Evaluation, evaluate
    from lesionwise.execution import Execution
    from lesionwise.gallery.gallery import load_gallery
    from lesionwise.progress import Progress
    from lesionwise.split.assign import LesionKFold
    from lesionwise.split.groups import lesion_groups
    from lesionwise.training.run import train

    __version__: str

__all__ = [
    "Dataset",
    "Evaluation",
    "Execution",
    "LesionKFold",
    "Progress",
    "evaluate",
    "lesion_groups",
    "load_gallery",
    "load_model",
    "read_dataset",
    "train",
]

_HOMES = {
    "Dataset": "lesionwise.data.dataset",
    "Evaluation": "lesionwise.evaluation.scores.evaluate",
    "Execution": "lesionwise.execution",
    "LesionKFold": "lesionwise.split.assign",
    "Progress": "lesionwise.progress",
    "evaluate": "lesionwise.evaluation.scores.evaluate",
    "lesion_groups": "lesionwise.split.groups",
    "load_gallery": "lesionwise.gallery.gallery",
    "load_model": "lesionwise.bundle.engine",
    "read_dataset": "lesionwise.data.dataset",
    "train": "lesionwise.training.run",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 (whatever the name stands for)
    if name == "__version__":
        from importlib.metadata import version  # noqa: PLC0415 (a tenth of a second at the start)

        return version("lesionwise")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from lesionwise.errors import naming_extras  # noqa: PLC0415 (no public name)

    with naming_extras():
        return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
