"""The test part, predicted by a run or by every member of an ensemble.

Not here: averaging (`lesionwise.evaluation.ensemble`).
"""

from lesionwise.evaluation.ensemble import average, ensemble_members
from lesionwise.evaluation.predictions import write_predictions
from lesionwise.run_folder import RunFolder
from lesionwise.training.run import Look, predict_test


def predict_test_together(run: RunFolder, *, device: str = "auto") -> Look:
    """Predict the test part; of an ensemble with each member, and note each look in the ledger.

    Args:
        run: A trained run, or an ensemble.
        device: "auto", "cpu", "cuda" or "mps".

    Returns:
        The last look.

    Raises:
        RunError: If a member or the data is no longer what it was.
    """
    members = ensemble_members(run)
    if not members:
        return predict_test(run, device=device)
    looks = [predict_test_together(member, device=device) for member in members]
    write_predictions(average(members, "test"), run.predictions("test"))
    return looks[-1]
