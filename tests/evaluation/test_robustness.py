import json
from pathlib import Path

import numpy as np
import pytest

from evaluation.simulation import simulate
from lesionwise.evaluation.robustness import (
    Robustness,
    describe_robustness,
    measure_robustness,
)
from lesionwise.files import read_part, write_part
from lesionwise.run_folder import RunFolder

SAMPLE = simulate(200, skill=3)


def _shuffled(part: float, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    hit = rng.random(len(SAMPLE.y_true)) < part
    prob = SAMPLE.y_prob.copy()
    prob[hit] = rng.permutation(prob[hit])
    return prob


@pytest.fixture(scope="module")
def found() -> Robustness:
    changed = [("blur", 1, _shuffled(0)), ("blur", 2, _shuffled(0.6)), ("hair", 1, _shuffled(0.3)),
               ("noise", 1, _shuffled(0))]  # fmt: skip
    return measure_robustness(SAMPLE.y_true, SAMPLE.y_prob, changed, SAMPLE.groups, resamples=300)


def test_differences_are_paired_and_what_changes_nothing_costs_nothing(found: Robustness) -> None:
    same, worse = found.changed[0], found.changed[1]
    assert same.differences["accuracy"].value == same.differences["accuracy"].high == 0
    assert same.same_answer == 1
    assert not same.breaks
    loss = worse.differences["balanced_accuracy"]
    assert loss.value == pytest.approx(worse.scores["balanced_accuracy"] - found.plain["balanced_accuracy"])
    assert worse.together.low < loss.low < loss.value < loss.high < worse.together.high < 0


def test_what_breaks_first_is_the_weakest_change_that_costs_more_than_chance(found: Robustness) -> None:
    first, then, rest, most = describe_robustness(found)
    assert first.startswith("The first change to break it is hair at strength 1: balanced accuracy -0.")
    assert then.startswith("Then blur at 2 (-0.")
    assert rest == "The loss by noise is within chance at every strength."
    assert most.startswith("The greatest loss is by blur at strength 2")


def test_a_model_that_nothing_breaks_is_said_to_be_so() -> None:
    changed = [("blur", 1, _shuffled(0))]
    found = measure_robustness(SAMPLE.y_true, SAMPLE.y_prob, changed, SAMPLE.groups, resamples=50)
    assert describe_robustness(found)[0].startswith("None of the changes lowers")


def test_the_record_is_written_by_part(found: Robustness, tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    assert read_part(run.robustness, "val", Robustness) is None
    write_part(run.robustness, "val", found)
    write_part(run.robustness, "cal", found)
    assert read_part(run.robustness, "val", Robustness) == found
    assert read_part(run.robustness, "test", Robustness) is None
    assert set(json.loads(run.robustness.read_text())["parts"]) == {"val", "cal"}


def test_a_missing_diagnosis_is_refused() -> None:
    with pytest.raises(ValueError, match="every diagnosis"):
        measure_robustness([4, 5], np.eye(7)[[4, 5]], [], ["a", "b"])
