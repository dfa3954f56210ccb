"""A clinic's folder with a CSV: answer all images, and list those that a person should look at first.

    python examples/clinic.py TABLE.csv OUT.csv

`TABLE.csv` has a column `path` (relative to the table) and, if known, `age`, `sex` and `localization`.
Research and education only; not a medical device. Cells start at `# %%`.
"""

# %% The table; what is empty is not known
import csv
import sys
from pathlib import Path

from lesionwise import load_model

table, out = Path(sys.argv[1]), Path(sys.argv[2])
with table.open(encoding="utf-8-sig", newline="") as file:
    everything = list(csv.DictReader(file))
rows = [row for row in everything if row["path"]]
if len(rows) < len(everything):
    print(f"left out: {len(everything) - len(rows)} without a path")
known = [{name: row.get(name) for name in ("age", "sex", "localization")} for row in rows]

# %% Answers, in the order of the table
model = load_model()
answers = model.predict([table.parent / row["path"] for row in rows], known, skip_unreadable=True)
for name, reason in answers.left_out.items():
    print(f"left out: {name}: {reason}")

# %% Those to look at first: melanoma reported, then uncertain, then by the malignant share
order = sorted(
    answers,
    key=lambda one: (
        not one.above_melanoma_threshold,
        one.decision != "uncertain",
        -one.malignant_probability,
    ),
)
for answer in order[:10]:
    print(f"{answer.name}: {answer.decision}, {answer.top}, malignant {answer.malignant_probability:.0%}")

# %% Everything as a table for a spreadsheet
with out.open("w", encoding="utf-8", newline="") as file:
    writer = csv.writer(file)
    writer.writerow(["path", "decision", "top", "malignant_probability", "cannot_be_excluded"])
    for answer in order:
        held = " ".join(answer.prediction_set or ())
        writer.writerow(
            [answer.name, answer.decision, answer.top, f"{answer.malignant_probability:.4f}", held]
        )
print(f"{len(answers)} answers of {model.description.name}: {out}")
