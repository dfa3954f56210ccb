"""Commands that train in two processes, and their result."""

import os
import subprocess
import sys
from pathlib import Path

from lesionwise.recipe import Recipe

# fp32, in which two halves of a batch give the gradient of the whole to the last digits.
IN_FP32 = """
import lesionwise.training.fit as fit
fit.choose_precision = lambda *_: "32-true"
from lesionwise.cli import main
if __name__ == "__main__":
    main()
"""
STOPS_IN_EPOCH_3 = """
import os, signal
from lesionwise.cli import main
from lesionwise.cli.console import Display
def stop(self, row):
    if row["epoch"] == 2:
        os.kill(os.getpid(), signal.SIGKILL)
Display.on_epoch = stop
if __name__ == "__main__":
    main()
"""
PLAIN = "from lesionwise.cli import main\nif __name__ == '__main__':\n    main()\n"


def arguments(recipe: Recipe, data: Path, out: Path, *more: str) -> list[str]:
    """Write the recipe beside the run, and return the arguments of `lesionwise train`."""
    toml = out.with_suffix(".toml")
    toml.write_text(recipe.to_toml())
    return ["train", str(toml), "--data", str(data), "--out", str(out), "--device", "cpu", *more]


def start(script: str, arguments: list[str], folder: Path, **environment: str) -> "subprocess.Popen[bytes]":
    """Start a script, which Lightning may start again, in an environment that no cluster has touched."""
    path = folder / f"script-{len(list(folder.glob('script-*')))}.py"
    path.write_text(script)
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(("SLURM", "LOCAL_RANK"))
    }
    return subprocess.Popen(
        [sys.executable, "-W", "error::RuntimeWarning", str(path), *arguments],
        env={**clean, "OMP_NUM_THREADS": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def finish(process: "subprocess.Popen[bytes]") -> tuple[int, str]:
    """Return exit code and all output of a command."""
    out, err = process.communicate(timeout=600)
    return process.returncode, (out + err).decode()
