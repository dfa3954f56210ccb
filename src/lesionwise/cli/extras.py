"""Which extra brings a module that is missing."""

from importlib.util import find_spec
from typing import Final

from lesionwise.errors import MissingExtraError

EXTRA_OF_MODULE: Final = {
    **dict.fromkeys(("matplotlib", "pandas", "scipy", "sklearn"), "eval"),
    **dict.fromkeys(
        ("lightning", "onnx", "onnxscript", "safetensors", "tensorboard", "timm", "torch"), "train"
    ),
    "cv2": "hair",
    **dict.fromkeys(("h5py", "keras"), "keras"),
    "onnxruntime": "onnxruntime",
    **dict.fromkeys(("alembic", "mlflow", "sqlalchemy"), "mlflow"),
    "kagglehub": "kaggle",
    "pillow_heif": "heif",
    "pydicom": "dicom",
    "ngrok": "share",
    "pyarrow": "arrow",
    "ray": "ray",
}


def require(module: str) -> None:
    """Name the extra of a command at once, before a module of a smaller extra is found missing."""
    if find_spec(module) is None:
        raise MissingExtraError(EXTRA_OF_MODULE[module], module)
