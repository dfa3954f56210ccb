"""`lesionwise evaluate RUN --set KEY=VALUE`: the trained weights, evaluated again in another way."""

from collections.abc import Sequence
from pathlib import Path

from lesionwise.cli.console import Display, describe_evaluation, print_result
from lesionwise.cli.extras import require
from lesionwise.cli.options import Device


def evaluate_again(
    run: Path, changes: Sequence[str], out: Path | None, *, device: Device, as_json: bool, quiet: bool
) -> None:
    """Evaluate trained weights again at another size, zoom or number of views, and print the scores.

    Args:
        run: A trained run, or a cross-validation.
        changes: Recipe keys that are changed, as `key=value`.
        out: The new run folder; the next free one in `runs/` if left out.
        device: Where the network runs.
        as_json: Print the result as JSON.
        quiet: Print results and errors only.
    """
    from lesionwise.recipe import load_recipe
    from lesionwise.run_folder import next_run_path, open_run_folder

    load_recipe(open_run_folder(run, "run", "cross-validation").config, changes)
    require("torch")
    from lesionwise.evaluation.runs.predictions import describe_unscored
    from lesionwise.evaluation.runs.scores import evaluate_part, working_part
    from lesionwise.execution import Execution
    from lesionwise.experiments.reevaluate import reevaluate

    own = out or next_run_path(Path("runs"), run.resolve().name)
    with Display(quiet=quiet) as display:
        folder = reevaluate(run, changes, own, execution=Execution(device, progress=display))
    part, value, made = working_part(folder), {"run": str(folder.path)}, f"New run: {folder.path}"
    if not folder.predictions(part).is_file():
        print_result(f"{describe_unscored(folder)}\n\n{made}", value, as_json=as_json)
        return
    evaluation = evaluate_part(folder, part)
    text = f"{describe_evaluation(evaluation, part)}\n\n{made}"
    print_result(text, {**value, part: evaluation.to_json()}, as_json=as_json)
