"""The test part, predicted by a run or by every member of an ensemble.

Not here: averaging (`lesionwise.evaluation.runs.ensemble`).
"""

from lesionwise.evaluation.predictions import write_predictions
from lesionwise.evaluation.runs.ensemble import average, ensemble_members
from lesionwise.evaluation.runs.predictions import refresh_predictions
from lesionwise.execution import Execution
from lesionwise.run_folder import RunFolder
from lesionwise.split.split_file import read_split
from lesionwise.training.run import Look, predict_held_out, predict_test


def predict_test_together(run: RunFolder, execution: Execution = Execution()) -> Look | None:
    """Predict the test part; of an ensemble with each member, and note each look in the ledger.

    Where the test part is a fold that was held out, and not the final exam, there is no look to note.

    Args:
        run: A trained run, or an ensemble.
        execution: Where and how it runs.

    Returns:
        The last look, None if there was none.

    Raises:
        RunError: If a member or the data is no longer what it was.
    """
    members = ensemble_members(run)
    if not members and "held_out" in read_split(run.split).meta:
        predict_held_out(run, execution)
        return None
    if not members:
        return predict_test(run, execution)
    looks = [predict_test_together(member, execution) for member in members]
    write_predictions(average(members, "test"), run.predictions("test"))
    refresh_predictions(run, "test")  # an ensemble can have a calibration of its own
    return looks[-1]
