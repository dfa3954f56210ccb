"""Every error that lesionwise raises on purpose.

    LesionwiseError          wrong use or wrong input; the command line ends with 2
    ├── DataError            a data folder or table that cannot be used
    │   ├── FindingsError    a table with coded faults, all of them listed; ends with 1
    │   └── DownloadError    a source that does not provide what was asked for; ends with 1
    ├── ImageError           a file that cannot be read as an image
    │   ├── DamagedImageError  one of a known format whose content is not whole
    │   └── ImageSizeError     one with too many pixels, or too few
    ├── SplitError           a split that does not fit its table
    │   └── LeakError        one lesion on both sides of a split; ends with 1
    ├── RecipeError          an unknown key or an impossible value
    ├── BundleError          a model file that is damaged, foreign or not fit to be served
    ├── RunError             a run folder that lacks what a command needs
    ├── BusyError            another process writes what a command is to write
    └── MissingExtraError    an optional dependency is not installed

Not here: what a caller of a function did wrong in Python, which is a `ValueError` or `TypeError`.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import ClassVar, Final


class LesionwiseError(Exception):
    """Base of all errors whose message is meant for the user."""

    exit_code: ClassVar[int] = 2


class DataError(LesionwiseError):
    """A data folder or table cannot be used."""


class FindingsError(DataError):
    """A check of the data found faults; the message lists every one, as `findings` does in full."""

    exit_code = 1

    def __init__(self, message: str, findings: Sequence[object] = ()) -> None:
        super().__init__(message)
        self.findings = tuple(findings)


class DownloadError(DataError):
    """A source does not provide a file, or provides something else under its name."""

    exit_code = 1


class ImageError(LesionwiseError):
    """A file cannot be read as an image; the message says why, without naming the file."""


class DamagedImageError(ImageError):
    """A file has a known format, but its content is not whole."""


class ImageSizeError(ImageError):
    """An image has too many pixels, or too few."""


class SplitError(LesionwiseError):
    """A split does not fit the table that it is used with."""


class LeakError(SplitError):
    """A lesion stands on both sides of a split."""

    exit_code = 1


class RecipeError(LesionwiseError):
    """A recipe has an unknown key or an impossible value."""


class BundleError(LesionwiseError):
    """A model file is damaged, foreign, or not fit for what is asked of it."""


class RunError(LesionwiseError):
    """A run folder lacks what a command needs, or would be overwritten."""


class BusyError(LesionwiseError):
    """Another process writes what a command is to write."""


EXTRA_OF_MODULE: Final = {
    **dict.fromkeys(("matplotlib", "pandas", "scipy", "sklearn", "threadpoolctl"), "eval"),
    **dict.fromkeys(
        ("lightning", "onnx", "onnxscript", "safetensors", "tensorboard", "timm", "torch"), "train"
    ),
    "cv2": "hair",
    **dict.fromkeys(("h5py", "keras"), "keras"),
    "onnxruntime": "onnxruntime",
    **dict.fromkeys(("alembic", "mlflow", "sqlalchemy"), "mlflow"),
    "huggingface_hub": "hub",
    "kagglehub": "kaggle",
    "pillow_heif": "heif",
    "pydicom": "dicom",
    "faiss": "gallery",
    "ngrok": "share",
    "pyarrow": "arrow",
    "ray": "ray",
}
"""Which extra brings a module that is missing."""
_PACKAGES: Final = {"cv2": "opencv-python-headless", "pillow_heif": "pillow-heif"}


class MissingExtraError(LesionwiseError):
    """A command needs an extra that is not installed."""

    def __init__(self, extra: str, module: str) -> None:
        super().__init__(
            f'This needs {module}, which is not installed. Run: pip install "lesionwise[{extra}]"'
        )


@contextmanager
def reraised(
    kind: type[LesionwiseError], before: str, *causes: type[Exception], after: str = "."
) -> Iterator[None]:
    """Raise other errors of the block as one of ours: `before`, what the other one says, and `after`."""
    try:
        yield
    except causes as error:
        raise kind(f"{before}{str(error).rstrip('.')}{after}") from error


def _missing(name: str) -> MissingExtraError:
    return MissingExtraError(EXTRA_OF_MODULE[name], _PACKAGES.get(name, name))


@contextmanager
def naming_extras() -> Iterator[None]:
    """Name the extra of any module that our own modules import in the block, if it is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        name = (error.name or "").partition(".")[0]
        if name not in EXTRA_OF_MODULE:
            raise
        raise _missing(name) from error


def import_extra(module: str) -> ModuleType:
    """Import a module of an optional package, such as "pyarrow.fs".

    Raises:
        MissingExtraError: If the package is not installed; the message names its extra.
        LesionwiseError: If it is installed but cannot be loaded.
    """
    name = module.partition(".")[0]
    try:
        return import_module(module)
    except Exception as error:  # a damaged package can raise any error
        if isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] == name:
            raise _missing(name) from error
        package = _PACKAGES.get(name, name)
        raise LesionwiseError(
            f"This needs {package}, which is installed but cannot be loaded ({str(error).rstrip('.')}). "
            f"Run: pip install --force-reinstall {package}"
        ) from error


def require(module: str) -> None:
    """Name the extra of a command at once, before a module of a smaller extra is found missing."""
    if find_spec(module) is None:
        raise _missing(module)
