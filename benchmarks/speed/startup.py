"""How long the command line takes to answer when it has nothing to compute: `--help`, and typos.

python benchmarks/speed/startup.py

Prints a row per command: the least wall time of a few starts, and the processor time of that start, which is
what the wall time would be on an idle machine. Aims: `--help` under 0.4 s, a typo under 1 s.
"""

import os
import shutil
import subprocess
import sys
import time

STARTS = int(os.environ.get("STARTS", "5"))
HELP_S, TYPO_S = 0.4, 1.0
COMMANDS = [
    ("--help", HELP_S),
    *(
        (typo, TYPO_S)
        for typo in (
            "run smal",
            "run --data nowhere",
            "run small --set epoch=3",
            "data explore nowhere",
            "data audit nowhere",
            "data split nowhere",
            "check --train nowhere --test nowhere",
            "recipes smal",
            "train smal --data .",
            "train small --data nowhere",
            "train small --data . --set epoch=3",
            "train small --data . --set model=smal",
            "cross-validate smal --data .",
            "leakage small --data . --set epoch=3",
            "ensemble nowhere nowhere",
            "calibrate nowhere",
            "evaluate nowhere",
            "evaluate nowhere --set tta=4",
            "robustness nowhere",
            "compare nowhere nowhere",
            "explain nowhere",
            "report nowhere --card",
            "predict nowhere --out answers.csv",
            "predict . --model bets --out answers.csv",
            "serve --model bets",
            "bundle show bets",
            "bundle export nowhere",
            "bundle verify --data nowhere",
            "bundle publish nowhere somewhere",
            "trian",
            "export RUN",
        )
    ),
]


def main() -> int:
    """Print the table; return 1 if a command takes more processor time than it may."""
    program = shutil.which("lesionwise", path=os.path.dirname(sys.executable)) or "lesionwise"  # noqa: PTH120
    late = 0
    print("| command | wall, s | processor, s | aim, s |\n|---|---|---|---|")
    for command, aim in COMMANDS:
        wall, processor = min(measure([program, *command.split()]) for _ in range(STARTS))
        late += processor > aim
        print(f"| `lesionwise {command}` | {wall:.2f} | {processor:.2f} | {aim} |", flush=True)
    return int(late > 0)


def measure(command: list[str]) -> tuple[float, float]:
    """Return wall and processor seconds of a command."""
    before, started = os.times(), time.perf_counter()
    subprocess.run(command, capture_output=True, check=False)
    wall, after = time.perf_counter() - started, os.times()
    busy = (after.children_user + after.children_system) - (before.children_user + before.children_system)
    return wall, busy


if __name__ == "__main__":
    sys.exit(main())
