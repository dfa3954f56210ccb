"""`scores.json`: the evaluation of each part of a run that was looked at.

Here: from the predictions CSVs of a run folder to its scores file. Not here: predicting.
"""

from lesionwise.errors import DataError
from lesionwise.evaluate.evaluation import Evaluation, evaluate
from lesionwise.evaluate.predictions import Predictions, read_predictions
from lesionwise.run_folder import RunFolder, read_json, write_json


def evaluate_part(run: RunFolder, part: str) -> Evaluation:
    """Score the predictions of a part and add them to `scores.json`.

    Raises:
        DataError: If the predictions are missing, damaged, or without truth and groups.
    """
    path = run.predictions(part)
    evaluation = evaluate_predictions(read_predictions(path), str(path))
    earlier = read_json(run.scores)["parts"] if run.scores.exists() else {}
    split = read_json(run.split.with_suffix(".json"))
    facts = {
        "split_fingerprint": split["fingerprint"],
        **({"stamp": split["stamp"]} if "stamp" in split else {}),
        "parts": {**earlier, part: evaluation.to_json()},
    }
    write_json(run.scores, facts)
    return evaluation


def evaluate_predictions(predictions: Predictions, source: str) -> Evaluation:
    """Score predictions that know their truth and their lesions.

    Raises:
        DataError: If either is missing: without groups an interval would take all images for independent.
    """
    if predictions.y_true is None or predictions.group is None:
        lacking = "y_true" if predictions.y_true is None else "group"
        raise DataError(
            f"{source}: expected the columns y_true and group but {lacking} is missing. "
            "Add the diagnosis and the lesion of each image."
        )
    try:
        return evaluate(predictions.y_true, predictions.y_prob, predictions.group)
    except ValueError as error:
        raise DataError(f"{source}: {error}") from error
