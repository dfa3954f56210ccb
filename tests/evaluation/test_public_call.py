"""`from lesionwise import evaluate` is the function, whatever was imported before, and needs no torch."""

import subprocess
import sys

import pytest

CALL = """
import sys
import numpy as np
{before}
from lesionwise import evaluate
y_true = np.arange(70) % 7
evaluation = evaluate(y_true, np.eye(7)[y_true], groups=np.arange(70), resamples=10)
assert evaluation.overall["accuracy"].value == 1
from lesionwise import evaluate
assert callable(evaluate)
assert not {{"torch", "lightning", "PIL", "matplotlib"}} & set(sys.modules)
"""


@pytest.mark.parametrize("before", ["", "import lesionwise.evaluation.scores.bootstrap", "import lesionwise"])
def test_evaluate_is_called_in_python_without_torch(before: str) -> None:
    subprocess.run([sys.executable, "-c", CALL.format(before=before)], check=True)
