"""`lesionwise robustness`."""

from typing import Annotated, Literal

import typer

from lesionwise.cli.console import Display, print_result
from lesionwise.cli.extras import require
from lesionwise.cli.options import DeviceOption, Json, Quiet, RunArgument


def robustness(
    run: RunArgument,
    part: Annotated[
        Literal["val", "test"],
        typer.Option("--part", help="Part whose photographs are changed; test only after evaluate --final."),
    ] = "val",
    device: DeviceOption = "auto",
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Score a run on changed photographs: ten changes, from blur to drawn hairs, at three strengths each."""
    from lesionwise.run_folder import open_run_folder

    folder = open_run_folder(run, "run", "ensemble")
    require("torch")
    from lesionwise.evaluation.robustness import describe_robustness, write_robustness
    from lesionwise.execution import Execution
    from lesionwise.experiments.robustness import perturbed_part
    from lesionwise.run_record import timed_stage

    with Display(quiet=quiet) as display, timed_stage(folder, f"robustness on {part}"):
        found = perturbed_part(folder, part, execution=Execution(device, progress=display))
    write_robustness(folder, part, found)
    lines = [f"{part}, on changed photographs:", *(f"  {line}" for line in describe_robustness(found))]
    print_result("\n".join(lines), found.to_json(), as_json=json)
