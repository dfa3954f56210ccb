"""An evaluated run as it is read for a report or a model card: every file once.

Here: what the run folder says. Not here: the data folder (`lesionwise.experiments.image_facts`), and what is
made of the facts (`lesionwise.report`).
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lesionwise.arrays import Floats, Integers
from lesionwise.errors import RunError
from lesionwise.evaluation.calibration.check import CalibrationCheck
from lesionwise.evaluation.calibration.record import Calibration
from lesionwise.evaluation.predictions import Predictions
from lesionwise.evaluation.runs.predictions import raw_probabilities, read_run_predictions, run_calibration
from lesionwise.evaluation.runs.scores import is_evaluated
from lesionwise.evaluation.scores.evaluate import Evaluation
from lesionwise.files import read_json
from lesionwise.run_folder import RunFolder

Sample = tuple[Integers, Floats, NDArray[np.str_]]


@dataclass(frozen=True)
class EvaluatedRun:
    """A run, an ensemble, a cross-validation or somebody's predictions, with the scores of one or more parts.

    Attributes:
        part: The part whose scores count most: test, else val, else the first.
        predictions: Predictions of this part, calibrated; None if their file is gone.
        check: What the calibration was worth on this part; None if that was not measured.
        source: Name of the file that somebody's predictions came from.
        seen: Which of their images the model was made with, in a sentence; None if that was not asked.
        data: Facts about the data; None if the folder has none, like all that follow.
    """

    folder: RunFolder
    parts: dict[str, Evaluation]
    part: str
    predictions: Predictions | None
    calibration: Calibration | None
    check: CalibrationCheck | None
    source: str | None
    seen: str | None
    data: dict[str, Any] | None
    split: dict[str, Any] | None
    environment: dict[str, Any] | None
    timing: dict[str, Any] | None

    @property
    def evaluation(self) -> Evaluation:
        """The scores of `part`."""
        return self.parts[self.part]

    @property
    def image_ids(self) -> list[str]:
        """Ids of the images of `part`; none without predictions."""
        return [] if self.predictions is None else self.predictions.image_id.tolist()

    @cached_property
    def sample(self) -> Sample | None:
        """Truth, probabilities and lesions of `part`; each image is its own lesion where none is known."""
        found = self.predictions
        if found is None:
            return None
        if found.y_true is None:
            raise RunError("Expected predictions with y_true but it is missing.")
        return found.y_true, found.y_prob, found.image_id if found.group is None else found.group

    @cached_property
    def raw_prob(self) -> Floats | None:
        """Probabilities before calibration; None without a calibration or predictions."""
        if self.calibration is None or self.predictions is None:
            return None
        return raw_probabilities(self.predictions, self.folder.predictions(self.part))


def load_evaluated(run: RunFolder) -> EvaluatedRun:
    """Read an evaluated run. `run`: a folder that `evaluate` wrote scores into."""
    if not is_evaluated(run):
        raise RunError(f'{run.path}: was not evaluated yet. Run "lesionwise evaluate {run.path}".')
    scores = read_json(run.scores)
    parts = {name: Evaluation.from_json(value) for name, value in scores["parts"].items()}
    part = headline_part(parts)
    calibration, checks = run_calibration(run), scores.get("calibration", {})
    there = run.predictions(part).is_file()
    return EvaluatedRun(
        folder=run,
        parts=parts,
        part=part,
        predictions=read_run_predictions(run, part, calibration) if there else None,
        calibration=calibration,
        check=CalibrationCheck.from_json(checks[part]) if part in checks else None,
        source=scores.get("source"),
        seen=scores.get("seen"),
        data=_optional_json(run.data),
        split=_optional_json(run.split_facts),
        environment=_optional_json(run.environment),
        timing=_optional_json(run.timing),
    )


def headline_part(parts: dict[str, Evaluation]) -> str:
    """Return the part whose scores count most: test, else val, else the first."""
    return next((part for part in ("test", "val") if part in parts), next(iter(parts)))


def _optional_json(path: Path) -> dict[str, Any] | None:
    return dict(read_json(path)) if path.is_file() else None
