"""Calibration fitted on cal and measured on val; prints the tables of calibration_*.md.

OMP_NUM_THREADS=1 python benchmarks/accuracy/calibration.py benchmarks/runs/small-s0 …
OMP_NUM_THREADS=1 python benchmarks/accuracy/calibration.py simulation TRIALS
"""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))

from evaluation.coverage import HAM10000_VAL, Model
from lesionwise.evaluation.calibration.check import check_calibration
from lesionwise.evaluation.calibration.conformal import fit_prediction_sets, rank
from lesionwise.evaluation.calibration.record import Calibration, nonconformity, softmax
from lesionwise.evaluation.calibration.scaling import fit_temperature, fit_vector
from lesionwise.evaluation.predictions import Predictions, read_predictions
from lesionwise.evaluation.runs.calibrate import calibrate
from lesionwise.evaluation.scores.decision import accuracy_score, balanced_accuracy_score
from lesionwise.evaluation.scores.evaluate import evaluate
from lesionwise.evaluation.scores.weights import lesion_shares
from lesionwise.labels import CODES

CHOICES = (("temperature", "lac"), ("temperature", "aps"), ("vector", "lac"))


def main() -> None:
    if sys.argv[1] == "simulation":
        simulate(int(sys.argv[2]))
        return
    for folder in map(Path, sys.argv[1:]):
        cal, val = (read_predictions(folder / f"predictions-{part}.csv") for part in ("cal", "val"))
        for method, rule in CHOICES:
            describe(folder.name, cal, val, method, rule)


def describe(name: str, cal: Predictions, val: Predictions, method: str, rule: str) -> None:
    """Print what a choice of scaling and of sets is worth."""
    found = calibrate(cal, method=method, rule=rule)
    prob, truth, groups = found.probabilities(val.logits), val.y_true, val.group
    check = check_calibration(found, truth, softmax(val.logits), prob, groups)
    fitted = getattr(found.scaling, "temperature", None)
    print(f"\n## {name}, {method}{f' {fitted:.3f}' if fitted else ''}, {rule}\n")
    for loss, after in check.after.items():
        print(f"{loss}: {check.before[loss]} before, {after} after")
    band = check.band
    print(f"plain ECE {band.value:.4f}, band {band.low:.4f} to {band.high:.4f}: {band.verdict}")
    aurc = evaluate(truth, prob, groups).overall["aurc"].value
    print(f"balanced accuracy {balanced_accuracy_score(truth, prob):.3f}, accuracy "
          f"{accuracy_score(truth, prob):.3f}, AURC {aurc:.3f}")  # fmt: skip
    shares = {row["diagnosis"]: f"{row['stated']:.3f}/{row['found']:.3f}" for row in check.shares}
    print("stated/found:", ", ".join(f"{code} {pair}" for code, pair in shares.items()))
    print("set sizes:", {key: round(value, 3) for key, value in check.sizes.items()},
          "photographs weighed instead:", round(weighed_size(cal, found, prob, rule), 3))  # fmt: skip
    print("\n| diagnosis | lesions cal | covered on val | coverage | a promise just kept shows | p |\n"
          "|---|---|---|---|---|---|")  # fmt: skip
    for row in check.coverage:
        counts = f"{row['cal_lesions']} | {row['covered']} of {row['lesions']} | {row['coverage']:.3f}"
        span = f"{row['low']:.3f} to {row['high']:.3f}"
        print(f"| {row['diagnosis']} | {counts} | {span} | {row['p_value']:.2f} |")
    if rule == "lac":
        print("\n| question | asked for | yes from | sensitivity | specificity |\n|---|---|---|---|---|")
        for point in check.points:
            pair = [f"{e['value']:.3f} ({e['low']:.3f} to {e['high']:.3f})" for e in point["found"].values()]
            print(f"| {point['question']} | {point['aim']} {point['at_least']} | {point['threshold']:.4f} "
                  f"| {' | '.join(pair)} |")  # fmt: skip


def weighed_size(cal: Predictions, found: Calibration, prob: np.ndarray, rule: str) -> float:
    """Return the mean size of sets that promise a photograph, each lesion's photographs sharing its vote."""
    scores, new = nonconformity(found.probabilities(cal.logits), rule), nonconformity(prob, rule)
    size = np.zeros(len(prob))
    for index in range(len(CODES)):
        own = cal.y_true == index
        order = np.argsort(scores[own, index])
        mass = np.cumsum(lesion_shares(cal.group[own])[order])
        reached = np.flatnonzero(mass >= 0.9 * (mass[-1] + 1) - 1e-9)
        limit = scores[own, index][order][reached[0]] if len(reached) else np.inf
        size += new[:, index] <= limit
    return float(size.mean())


def simulate(trials: int) -> None:
    """Print what fitting the scaling on the very lesions of the sets does to their coverage."""
    model, rng = Model(skill=1.5, sharpness=2.0), np.random.default_rng(0)
    fits = {"none": None, "temperature": fit_temperature, "vector": fit_vector, "none, by photograph": None}
    covered: dict[str, list[np.ndarray]] = {name: [] for name in fits}
    promised = [rank(HAM10000_VAL[code], 0.9) / (HAM10000_VAL[code] + 1) for code in CODES]
    for _ in range(trials):
        truth, prob, groups = model.draw(HAM10000_VAL, rng)
        new_truth, new_prob, new_groups = model.draw({c: 4 * n for c, n in HAM10000_VAL.items()}, rng)
        logits, new_logits = np.log(prob + 1e-300), np.log(new_prob + 1e-300)
        for name, fit in fits.items():
            scaling = fit(truth, logits, groups) if fit else None
            cal, new = (scaling.probabilities(x) if scaling else softmax(x) for x in (logits, new_logits))
            units = np.arange(len(truth)) if "photograph" in name else groups
            held = fit_prediction_sets(truth, cal, units).contains(new)[np.arange(len(new_truth)), new_truth]
            missed = np.unique(new_groups[~held])
            by_lesion = new_truth[np.unique(new_groups, return_index=True)[1]]
            lost = np.bincount(by_lesion[missed], minlength=7) / np.bincount(by_lesion, minlength=7)
            covered[name].append(1 - lost)
    print(
        f"{trials} draws\n\n| scaling fitted on the same lesions | {' | '.join(CODES)} |\n|---|{'---|' * 7}"
    )
    print("| expected without any | " + " | ".join(f"{min(part, 1):.3f}" for part in promised) + " |")
    for name, parts in covered.items():
        print(f"| {name} | " + " | ".join(f"{part:.3f}" for part in np.mean(parts, axis=0)) + " |")
    deviation = np.std(covered["none"], axis=0) / np.sqrt(trials)
    print("| standard error | " + " | ".join(f"{part:.3f}" for part in deviation) + " |")


if __name__ == "__main__":
    main()
