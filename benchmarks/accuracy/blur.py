"""What photographs out of focus cost a run or an ensemble: three of the changes of `lesionwise robustness`.

python benchmarks/accuracy/blur.py RUN cal
"""

import sys
from pathlib import Path

from lesionwise.data.perturbations import STRENGTHS
from lesionwise.execution import Execution
from lesionwise.experiments import robustness
from lesionwise.run_folder import RunFolder


def main(run: RunFolder, part: str) -> None:
    robustness._JOBS[:] = [("blur", strength) for strength in STRENGTHS]  # noqa: SLF001 (all else stays)
    found = robustness.perturbed_part(run, part, execution=Execution(device="cpu"))
    print("sharp", found.plain)
    for row in found.changed:
        print("blur", row.strength, row.scores, f"same answer {row.same_answer:.2f}", row.together)


if __name__ == "__main__":
    main(RunFolder(Path(sys.argv[1])), sys.argv[2])
