"""Skin-lesion classification that you can check.

The public names are loaded when they are first used, so that importing the package stays cheap.
"""

import sys
from importlib import import_module
from importlib.metadata import version
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lesionwise.data.dataset import Dataset, read_dataset
    from lesionwise.evaluate.evaluation import Evaluation, evaluate
    from lesionwise.split.assign import LesionKFold
    from lesionwise.split.groups import lesion_groups
    from lesionwise.train.run import train

__all__ = ["Dataset", "Evaluation", "LesionKFold", "evaluate", "lesion_groups", "read_dataset", "train"]

__version__ = version("lesionwise")

_HOMES = {
    "Dataset": "lesionwise.data.dataset",
    "Evaluation": "lesionwise.evaluate.evaluation",
    "LesionKFold": "lesionwise.split.assign",
    "evaluate": "lesionwise.evaluate.evaluation",
    "lesion_groups": "lesionwise.split.groups",
    "read_dataset": "lesionwise.data.dataset",
    "train": "lesionwise.train.run",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 (whatever the name stands for)
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])


class _CallablePackage(ModuleType):
    """A package that can be called like the public function of its name (`evaluate`, `train`)."""

    def __call__(self, *args: Any, **options: Any) -> Any:  # noqa: ANN401 (the function's own)
        return __getattr__(self.__name__.rpartition(".")[2])(*args, **options)


class _PublicNames(ModuleType):
    def __setattr__(self, name: str, value: object) -> None:
        # Importing lesionwise.evaluate puts the package where the function of that name is expected.
        if name in _HOMES and isinstance(value, ModuleType):
            value.__class__ = _CallablePackage
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _PublicNames
