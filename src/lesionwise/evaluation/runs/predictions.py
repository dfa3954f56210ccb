"""The predictions of a run, calibrated: the one place where they are read.

Here: from logits to what the model answers. Not here: the file format (`predictions`), fitting (`calibrate`).

In a run's CSVs `logit_` is what the network put out and `prob_` is what the model answers, as its bundle and
`predict` answer it: calibrated as soon as there is a `calibration.json`. A reader gets the present
calibration, even where a file was written before it.
"""

from dataclasses import replace
from pathlib import Path

from lesionwise.arrays import Floats
from lesionwise.errors import DataError
from lesionwise.evaluation.calibration.record import Calibration, read_calibration, softmax
from lesionwise.evaluation.predictions import Predictions, read_predictions, write_predictions
from lesionwise.run_folder import RunFolder


def run_calibration(run: RunFolder) -> Calibration | None:
    """Return the calibration of a run, None if it has none."""
    return read_calibration(run.calibration) if run.calibration.is_file() else None


def run_probabilities(run: RunFolder, logits: Floats) -> Floats:
    """Return what a run answers if its network gives these logits, shape (N, C)."""
    calibration = run_calibration(run)
    return calibration.probabilities(logits) if calibration else softmax(logits)


def read_run_predictions(run: RunFolder, part: str, calibration: Calibration | None = None) -> Predictions:
    """Read the predictions of a part of a run, calibrated if the run is.

    Args:
        run: A run, or a folder with somebody's predictions: these are taken as they are.
        part: "val", "cal", "test" or "given".
    """
    path = run.predictions(part)
    if part == "val" and not path.is_file() and run.predictions("cal").is_file():
        raise DataError(describe_unscored(run))
    predictions = read_predictions(path)
    calibration = calibration or run_calibration(run)
    if calibration is None:
        return predictions
    return replace(predictions, y_prob=calibration.probabilities(_logits(predictions, path)))


def describe_unscored(run: RunFolder) -> str:
    """Return what to do with a run that trained on `val` as well, and so has no images to be judged by."""
    return (
        f'{run.path}: was also trained on val, so only test can judge it. Judge its recipe with "lesionwise '
        f'cross-validate"; judge the model itself, once, with "lesionwise evaluate {run.path} --final".'
    )


def raw_probabilities(predictions: Predictions, path: Path) -> Floats:
    """Return the probabilities as they were before calibration, shape (N, C)."""
    return softmax(_logits(predictions, path))


def refresh_predictions(run: RunFolder, part: str) -> None:
    """Write the predictions of a part anew with the present calibration, if they are there."""
    if run.predictions(part).is_file():
        write_predictions(read_run_predictions(run, part), run.predictions(part))


def refresh_all_predictions(run: RunFolder) -> None:
    """Do the same for every part of the run that was ever predicted."""
    before, after = run.predictions("*").name.split("*")
    for path in sorted(run.path.glob(f"{before}*{after}")):
        refresh_predictions(run, path.name.removeprefix(before).removesuffix(after))


def _logits(predictions: Predictions, path: Path) -> Floats:
    if predictions.logits is None:
        raise DataError(f"{path}: expected the seven logit_<code> beside calibration.json but found none.")
    return predictions.logits
