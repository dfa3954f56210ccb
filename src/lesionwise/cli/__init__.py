"""The command line: a thin layer that reads options, calls a stage and prints.

Here: `main`. One file per group of verbs; heavy imports happen inside the verbs, so that `--help` is quick.
"""

import sys

from lesionwise.cli.app import app
from lesionwise.cli.console import print_error
from lesionwise.errors import LesionwiseError, MissingExtraError

_EXTRA_OF_MODULE = {
    **dict.fromkeys(("matplotlib", "pandas", "scipy", "sklearn"), "eval"),
    **dict.fromkeys(
        ("lightning", "onnx", "onnxscript", "safetensors", "tensorboard", "timm", "torch"), "train"
    ),
    "cv2": "hair",
    **dict.fromkeys(("h5py", "keras"), "keras"),
    "onnxruntime": "onnxruntime",
    **dict.fromkeys(("alembic", "mlflow", "sqlalchemy"), "mlflow"),
    "kagglehub": "kaggle",
    "pydicom": "dicom",
    "ngrok": "share",
    **dict.fromkeys(("pyarrow", "ray"), "ray"),
}
_INTERRUPTED = 130  # what shells give for Ctrl-C


def main() -> None:
    """Run the command line and leave with its exit code."""
    try:
        app(prog_name="lesionwise")
    except LesionwiseError as error:
        sys.exit(_fail(error))
    except OSError as error:  # a full disk, a folder that may not be written
        print_error(f"{error.filename or 'writing'}: {error.strerror or error}.")
        sys.exit(LesionwiseError.exit_code)
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        if module not in _EXTRA_OF_MODULE:
            raise
        sys.exit(_fail(MissingExtraError(_EXTRA_OF_MODULE[module], module)))
    except SystemExit as ended:  # which is how typer passes Ctrl-C on
        if ended.code == _INTERRUPTED:
            print_error(
                "Stopped. Nothing half-written counts. The same command goes on; "
                "run, train and predict need --resume for that."
            )
        raise


def _fail(error: LesionwiseError) -> int:
    print_error(str(error))
    return error.exit_code
