"""Which of two error rates pytorch-ood and torch-uncertainty call FPR at 95 % TPR, on one pair of scores.

pip install pytorch-ood==0.4.0 torch-uncertainty==0.13.0 lightning==2.6.6 einops scikit-learn==1.9.1
python -W ignore benchmarks/correctness/ood_conventions.py
"""

import numpy as np
import sklearn.metrics as sk
import torch
from pytorch_ood.metrics import OODMetrics
from torch_uncertainty.metrics import FPR95


def main() -> None:
    rng = np.random.default_rng(0)
    lesions, outsiders = rng.normal(0, 1, 2000), rng.normal(2, 1.5, 400)  # a larger score is more foreign
    score = np.r_[lesions, outsiders]
    foreign = np.r_[np.zeros(2000, int), np.ones(400, int)]
    pytorch_ood = OODMetrics()
    pytorch_ood.update(torch.tensor(score), torch.tensor(np.where(foreign == 1, -1, 0)))
    rows = {
        "AUROC, scikit-learn": sk.roc_auc_score(foreign, score),
        "outsiders accepted where 95 % of the lesions are": np.mean(outsiders <= np.quantile(lesions, 0.95)),
        "lesions rejected where 95 % of the outsiders are": np.mean(lesions >= np.quantile(outsiders, 0.05)),
    }
    rows |= {f"pytorch-ood {name}": value for name, value in pytorch_ood.compute().items()}
    for label, sign in ((1, 1), (0, -1), (0, 1)):
        metric = FPR95(pos_label=label)
        metric.update(torch.tensor(sign * score), torch.tensor(foreign))
        rows[f"torch-uncertainty FPR95, pos_label={label}, score times {sign}"] = float(metric.compute())
    print("| quantity | value |\n|---|---|")
    for name, value in rows.items():
        print(f"| {name} | {value:.3f} |")


if __name__ == "__main__":
    main()
