"""The stability of a run, kept in its `scores.json` beside its scores.

Here: reading, writing and dropping it. Not here: measuring (`lesionwise.experiments.stability`).
"""

from typing import Final

from lesionwise.evaluation.stability import Stability
from lesionwise.files import read_json, write_json
from lesionwise.run_folder import RunFolder

STABILITY: Final = "stability"


def read_stability(run: RunFolder, part: str = "cal") -> Stability | None:
    """Return what was measured on a part, or None where nothing was."""
    found = read_json(run.scores).get(STABILITY, {}) if run.scores.is_file() else {}
    return Stability.from_json(found[part]) if part in found else None


def write_stability(run: RunFolder, found: Stability, part: str = "cal") -> None:
    """Add what was measured on a part to `scores.json`."""
    earlier = read_json(run.scores) if run.scores.is_file() else {"parts": {}}
    write_json(run.scores, {**earlier, STABILITY: {**earlier.get(STABILITY, {}), part: found.to_json()}})


def drop_stability(run: RunFolder) -> None:
    """Forget what was measured, because another calibration decides in another way."""
    if run.scores.is_file():
        kept = {name: value for name, value in read_json(run.scores).items() if name != STABILITY}
        write_json(run.scores, kept)
