"""How often do the intervals hold the truth: models whose true scores are known, sampled again and again.

A photograph shows its diagnosis plus the look of the lesion plus chance; the model answers with the exact
posterior, so that it is calibrated, or with one that is sharpened, so that it is too sure. Lesions are drawn
within diagnosis in fixed numbers, as an evaluation finds them.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evaluation.plain_scores import OVERALL, PER_CLASS
from lesionwise.evaluation.scores.evaluate import evaluate
from lesionwise.labels import CODES

HAM10000_VAL = {"akiec": 19, "bcc": 27, "bkl": 60, "df": 7, "mel": 51, "nv": 483, "vasc": 8}
"""Lesions of each diagnosis in the val part of the reference split, near enough."""


@dataclass(frozen=True)
class Model:
    """A model to be sampled from; a sharpness of 1 is calibrated."""

    skill: float = 2.0
    sharpness: float = 1.0
    lesion_noise: float = 0.8
    image_noise: float = 0.6

    def draw(
        self, lesions: dict[str, int], rng: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
        """Return truth, probabilities and lesion of each photograph."""
        counts = np.array([lesions[code] for code in CODES])
        diagnosis = np.repeat(np.arange(len(CODES)), counts)
        lesion = np.repeat(np.arange(len(diagnosis)), rng.integers(1, 4, size=len(diagnosis)))
        y_true = diagnosis[lesion]
        look = self.lesion_noise * rng.normal(size=(len(diagnosis), len(CODES)))[lesion]
        seen = look + self.image_noise * rng.normal(size=look.shape)
        seen[np.arange(len(y_true)), y_true] += self.skill
        variance = self.lesion_noise**2 + self.image_noise**2
        logits = self.sharpness * (self.skill * seen / variance + np.log(counts / counts.sum()))
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        return y_true, odds / odds.sum(axis=1, keepdims=True), lesion


def coverage(
    model: Model, lesions: dict[str, int], *, trials: int, resamples: int = 500, seed: int = 0
) -> pd.DataFrame:
    """Return, for each score, how often its interval held the truth.

    Args:
        model: What is evaluated.
        lesions: Lesions of each diagnosis in a sample.
        trials: How many samples are evaluated.
        resamples: As for `evaluate`.
        seed: Of everything.

    Returns:
        Columns `score`, `diagnosis` ("all" for overall ones), `truth`, `mean_value`, `mean_width`,
        `covered`.
    """
    rng = np.random.default_rng(seed)
    truth = _scores(model, {code: 300 * count for code, count in lesions.items()}, rng)
    rows = []
    for trial in range(trials):
        found = evaluate(*model.draw(lesions, rng), resamples=resamples, seed=trial)
        estimates = {("all", name): estimate for name, estimate in found.overall.items()}
        for code in CODES:
            estimates |= {(code, name): estimate for name, estimate in found.per_class[code].items()}
        rows += [
            {"diagnosis": code, "score": name, "truth": truth[code, name], "mean_value": estimate.value,
             "mean_width": estimate.high - estimate.low,
             "covered": estimate.low <= truth[code, name] <= estimate.high}
            for (code, name), estimate in estimates.items()
        ]  # fmt: skip
    return pd.DataFrame(rows).groupby(["score", "diagnosis"], sort=False).mean().reset_index()


def _scores(model: Model, lesions: dict[str, int], rng: np.random.Generator) -> dict[tuple[str, str], float]:
    """Return the scores of a sample so large that chance no longer matters."""
    y_true, y_prob, _ = model.draw(lesions, rng)
    truth = {("all", name): float(score(y_true, y_prob, None)) for name, score in OVERALL.items()}
    for name, score in PER_CLASS.items():
        values = score(y_true, y_prob, None)
        truth |= {(code, name): float(value) for code, value in zip(CODES, values, strict=True)}
    if model.sharpness == 1:
        truth["all", "ece"] = 0.0  # by construction
    return truth
