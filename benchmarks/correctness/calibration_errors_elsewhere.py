"""The calibration error of one set of predictions by torchmetrics, torch-uncertainty, MONAI and lesionwise.

pip install torchmetrics==1.9.0 torch-uncertainty==0.13.0 lightning==2.6.6 einops monai==1.6.1
python -W ignore benchmarks/correctness/calibration_errors_elsewhere.py benchmarks/runs/best-folds
"""

import sys
from pathlib import Path

import torch
from monai.metrics import CalibrationErrorMetric
from torch_uncertainty.metrics.classification import AdaptiveCalibrationError, CalibrationError
from torchmetrics.classification import MulticlassCalibrationError

from lesionwise import evaluate
from lesionwise.evaluation.predictions import read_predictions
from lesionwise.evaluation.scores.probability import expected_calibration_error
from lesionwise.labels import CODES

CLASSES = len(CODES)


def main() -> None:
    found = read_predictions(Path(sys.argv[1]) / "predictions-out-of-fold.csv")
    prob, truth = torch.tensor(found.y_prob), torch.tensor(found.y_true)
    metrics = {
        f"torchmetrics, {norm}, {bins} bins": MulticlassCalibrationError(CLASSES, n_bins=bins, norm=norm)
        for norm, bins in (("l1", 10), ("l1", 15), ("l2", 15), ("max", 10), ("max", 20))
    }
    for kind in (CalibrationError, AdaptiveCalibrationError):
        metrics[f"torch-uncertainty, {kind.__name__}"] = kind(task="multiclass", num_classes=CLASSES)
    values = {}
    for name, metric in metrics.items():
        metric.update(prob, truth)
        values[name] = float(metric.compute())
    monai = CalibrationErrorMetric()
    hot = torch.eye(CLASSES)[truth]
    monai(prob.T[None, ..., None], hot.T[None, ..., None])
    values["MONAI, CalibrationErrorMetric"] = float(monai.aggregate())
    values["lesionwise, plain"] = float(expected_calibration_error(found.y_true, found.y_prob))
    values["lesionwise, ece"] = evaluate(found.y_true, found.y_prob, found.group).overall["ece"].value
    print("| calibration error | value |\n|---|---|")
    for name, value in values.items():
        print(f"| {name} | {value:.4f} |")


if __name__ == "__main__":
    main()
