"""The table of `preprocessing.sh`: what each preprocessing key is worth on val, by seed and over seeds.

    python benchmarks/accuracy/preprocessing.py OUT

The interval of a difference resamples lesions, the same ones for both arms and all seeds, and averages the
difference over the seeds in each resample: it covers chance in which lesions were photographed. The spread
over seeds stands beside it. Seeds that are not finished in every arm are left out of all.
"""

import sys
from pathlib import Path

import numpy as np

from lesionwise.evaluation.predictions import read_predictions
from lesionwise.evaluation.scores.bootstrap import percentile_interval
from lesionwise.evaluation.scores.decision import accuracy_score, balanced_accuracy_score
from lesionwise.evaluation.scores.evaluate import draw_scores
from lesionwise.evaluation.scores.probability import log_loss
from lesionwise.evaluation.scores.ranking import macro_auc_score

ARMS = ("none", "color_constancy", "field_of_view", "hair_removal")
SEEDS = (0, 1, 2)
SCORES = {
    "balanced_accuracy": balanced_accuracy_score,
    "accuracy": accuracy_score,
    "macro_auc": macro_auc_score,
    "log_loss": log_loss,
}


def finished(out: Path) -> list[int]:
    return [
        seed for seed in SEEDS if all((out / f"{arm}-s{seed}/predictions-cal.csv").is_file() for arm in ARMS)
    ]


def scores_of(path: Path) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """Return the scores of a run on val, and the same in 2,000 resamples of its lesions."""
    found = read_predictions(path / "predictions-val.csv")
    order = np.argsort(found.image_id)
    truth, prob, groups = (values[order] for values in (found.y_true, found.y_prob, found.group))
    values = {name: float(score(truth, prob, None)) for name, score in SCORES.items()}
    return values, draw_scores(SCORES, truth, prob, groups, resamples=2000, seed=0)


def main(out: Path) -> None:
    seeds = finished(out)
    if not seeds:
        sys.exit(f"{out}: no seed is finished in all of {', '.join(ARMS)} yet.")
    runs = {(arm, seed): scores_of(out / f"{arm}-s{seed}") for arm in ARMS for seed in seeds}
    print(f"Seeds finished in every arm: {', '.join(map(str, seeds))}.\n")
    for name in SCORES:
        heads = [name.replace("_", " "), *(f"seed {seed}" for seed in seeds), "mean", "less none"]
        print(f"| {' | '.join(heads)} |")
        print("|" + "---|" * (len(seeds) + 3))
        for arm in ARMS:
            values = [runs[arm, seed][0][name] for seed in seeds]
            cells = [*(f"{value:.3f}" for value in values), f"{np.mean(values):.3f}"]
            if arm == "none":
                cells.append("")
            else:
                apart = [runs[arm, seed][0][name] - runs["none", seed][0][name] for seed in seeds]
                drawn = np.mean([runs[arm, s][1][name] - runs["none", s][1][name] for s in seeds], axis=0)
                low, high = percentile_interval(drawn)
                spread = f"; over seeds {min(apart):+.3f} to {max(apart):+.3f}" if len(seeds) > 1 else ""
                cells.append(f"{np.mean(apart):+.3f} ({low:+.3f} to {high:+.3f}){spread}")
            print(f"| `{arm}` | {' | '.join(cells)} |")
        print()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
