"""What scikit-learn, torchmetrics, MONAI and lesionwise give when a diagnosis has no image but was answered.

pip install scikit-learn==1.9.1 torchmetrics==1.9.0 monai==1.6.1
python -W ignore benchmarks/correctness/missing_class_elsewhere.py
"""

from collections.abc import Callable

import numpy as np
import sklearn.metrics as sk
import torch
from monai.metrics import ConfusionMatrixMetric, compute_roc_auc
from torchmetrics.functional import classification as tm

from lesionwise import evaluate

CLASSES, IMAGES = 7, 400
PRESENT = (1, 2, 4, 5, 6)


def drawn() -> tuple[np.ndarray, np.ndarray]:
    """Return truth (N,) without two of seven classes, and probabilities (N, C) that answer both."""
    rng = np.random.default_rng(0)
    y = rng.choice(PRESENT, IMAGES, p=[0.1, 0.2, 0.2, 0.4, 0.1])
    logits = rng.normal(0, 1, (IMAGES, CLASSES))
    logits[np.arange(IMAGES), y] += 1.3
    logits[:20, 3] += 4
    prob = np.exp(logits)
    return y, prob / prob.sum(axis=1, keepdims=True)


def monai(name: str, answers: torch.Tensor, truth: torch.Tensor) -> float:
    metric = ConfusionMatrixMetric(metric_name=name, reduction="mean", include_background=True)
    metric(answers, truth)
    return float(metric.aggregate()[0])


def main() -> None:
    y, prob = drawn()
    answer = prob.argmax(axis=1)
    p, t = torch.tensor(prob), torch.tensor(y)
    hot, said = torch.eye(CLASSES)[t], torch.eye(CLASSES)[p.argmax(dim=1)]
    every = range(CLASSES)

    def mean(score: Callable[[int], float]) -> float:
        return float(np.mean([score(k) for k in PRESENT]))

    rows: dict[str, Callable[[], float]] = {
        "recall, mean over the 5 present": lambda: mean(lambda k: sk.recall_score(y == k, answer == k)),
        "recall, sklearn balanced_accuracy_score": lambda: sk.balanced_accuracy_score(y, answer),
        "recall, sklearn recall_score macro": lambda: sk.recall_score(y, answer, average="macro"),
        "recall, the same with zero_division=nan": lambda: sk.recall_score(
            y, answer, average="macro", labels=every, zero_division=np.nan
        ),
        "recall, torchmetrics macro": lambda: float(tm.multiclass_recall(p, t, CLASSES)),
        "recall, MONAI sensitivity, mean": lambda: monai("sensitivity", said, hot),
        "accuracy (not a mean over classes)": lambda: float((answer == y).mean()),
        "F1, mean over the 5 present": lambda: mean(lambda k: sk.f1_score(y == k, answer == k)),
        "F1, sklearn macro": lambda: sk.f1_score(y, answer, average="macro"),
        "F1, torchmetrics macro": lambda: float(tm.multiclass_f1_score(p, t, CLASSES)),
        "AUC, mean over the 5 present": lambda: mean(lambda k: sk.roc_auc_score(y == k, prob[:, k])),
        "AUC, sklearn ovr macro": lambda: sk.roc_auc_score(y, prob, multi_class="ovr", labels=every),
        "AUC, torchmetrics macro": lambda: float(tm.multiclass_auroc(p, t, CLASSES)),
        "AUC, MONAI macro": lambda: float(compute_roc_auc(p, hot, average="macro")),
        "AP, mean over the 5 present": lambda: mean(lambda k: sk.average_precision_score(y == k, prob[:, k])),
        "AP, sklearn macro": lambda: sk.average_precision_score(np.eye(CLASSES)[y], prob, average="macro"),
        "AP, torchmetrics macro": lambda: float(tm.multiclass_average_precision(p, t, CLASSES)),
        "top 2, sklearn": lambda: sk.top_k_accuracy_score(y, prob, k=2, labels=every),
        "top 2, torchmetrics micro": lambda: float(
            tm.multiclass_accuracy(p, t, CLASSES, top_k=2, average="micro")
        ),
        "top 2, torchmetrics macro (its default)": lambda: float(
            tm.multiclass_accuracy(p, t, CLASSES, top_k=2)
        ),
    }
    ours = evaluate(y, prob, np.arange(IMAGES), resamples=10).overall
    rows |= {
        f"lesionwise {name}": lambda name=name: ours[name].value
        for name in ("balanced_accuracy", "macro_f1", "macro_auc", "macro_average_precision")
    }
    print("| score | value |\n|---|---|")
    for name, score in rows.items():
        print(f"| {name} | {score():.3f} |")


if __name__ == "__main__":
    main()
