"""Write what `lesionwise leakage` measured as a benchmark for each recipe, and into docs/leakage.md.

    split=benchmarks/reference_split.csv
    lesionwise leakage seed-cnn-256 --set epochs=15 --data DIR --split $split --out OUT/seed-cnn-256
    weights="--set weights=FILE --set model_args={pad_type='same'}"
    lesionwise leakage probe $weights --data DIR --split $split --out OUT/probe
    python benchmarks/leakage/leakage.py OUT/seed-cnn-256 OUT/probe

What other recipes measured stays. A folder whose protocols are not all done is left out, and named.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from lesionwise.experiments.leakage import PROTOCOLS
from lesionwise.recipe import Recipe, load_recipe
from lesionwise.report.leakage import write_leakage_page

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "leakage.md"
HEAD = """---
question: What is a leak worth to `{name}`?
command: lesionwise leakage {name}
result: {result}
processor: {cores} cores
date: {date}
---

# What a leak is worth

HAM10000, quality-75 copies; the reference split: fold 0 is not read, fold 1 is the fold that nobody saw, and
the four protocols divide folds 2 to 4. One seed. 95 % intervals by lesion.
"""
COLUMNS = "made with | tested on | show a lesion it was made with | copies of such a photograph | exam"
PLACES = {"own": "on its own test images", "clean": "on the clean rest", "exam": "on lesions nobody saw"}


def estimate(measured: dict, score: str) -> str:
    if score not in measured["scores"]:
        return measured["note"]
    value = measured["scores"][score]
    text = f"{value['value']:.3f} ({value['low']:.3f} to {value['high']:.3f})"
    if score == "accuracy" and measured.get("baseline"):
        return f"{text}; commonest alone {measured['baseline']:.3f}"
    return text


def table(outcomes: list[dict], score: str) -> str:
    lines = ["| how test images were put aside | " + " | ".join(PLACES.values()) + " |", "|---|---|---|---|"]
    for outcome in outcomes:
        name = PROTOCOLS[outcome["protocol"]] + (" `LEAKY SPLIT`" if outcome["leaky"] else "")
        cells = [estimate(outcome[place], score) for place in PLACES]
        if not outcome["leaky"]:
            cells[1] = "all of it is clean"
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def taint(outcomes: list[dict]) -> str:
    lines = [
        f"| | {COLUMNS} |",
        "|---|---|---|---|---|---|",
    ]
    for outcome in outcomes:
        tested = outcome["own"]["images"]
        cells = [
            PROTOCOLS[outcome["protocol"]],
            f"{outcome['trained']:,}",
            f"{tested:,}",
            f"{outcome['tainted']:,} ({outcome['tainted'] / tested:.0%})",
            f"{outcome['repeated']:,}",
            f"{outcome['exam']['images']:,}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def section(name: str, outcomes: list[dict]) -> str:
    return "\n\n".join(
        [
            f"### `{name}`",
            "Balanced accuracy:",
            table(outcomes, "balanced_accuracy"),
            "Accuracy:",
            table(outcomes, "accuracy"),
        ]
    )


def changes(recipe: Recipe, name: str) -> str:
    """Return the --set options that make a recipe of the one that ships under a name."""
    shipped = load_recipe(name).to_toml().splitlines()
    other = [line for line in recipe.to_toml().splitlines() if line not in shipped]
    return "".join(f"--set '{line.replace(' = ', '=', 1)}' " for line in other)


def today() -> str:
    return f"{datetime.now(UTC):%Y-%m-%d}"


def claim(outcomes: list[dict]) -> str:
    """Return what the worst protocol claims, and what its model is worth."""
    own, exam = (estimate(outcomes[-1][place], "balanced_accuracy") for place in ("own", "exam"))
    return f"claims {own} and is worth {exam}"


def benchmark(folder: Path, outcomes: list[dict]) -> str:
    environment = json.loads((folder / "environment.json").read_text(encoding="utf-8"))
    versions = ", ".join(f"{name} {number}" for name, number in environment["packages"].items())
    recipe = load_recipe(folder / "config.toml")
    recipe = recipe.model_copy(update={"weights": Path(recipe.weights).name})
    options = f"{changes(recipe, folder.name)}--data DIR --split $split --out OUT/{folder.name}"
    commands = [
        "    split=benchmarks/reference_split.csv",
        f"    lesionwise leakage {folder.name} {options}",
        f"    python benchmarks/leakage/leakage.py OUT/{folder.name}",
    ]
    machine = f"{os.cpu_count()} cores shared with other work; Python {environment['python']}"
    blocks = [
        HEAD.format(name=folder.name, result=claim(outcomes), cores=os.cpu_count(), date=today()).strip(),
        "\n".join(commands),
        f"{machine}, {versions}.",
        section(folder.name, outcomes).replace("### ", "## ", 1),
        "What leaked:",
        taint(outcomes),
        f"Resolved recipe:\n\n```toml\n{recipe.to_toml().strip()}\n```",
    ]
    return "\n\n".join(blocks) + "\n"


def write_benchmark(folder: Path, outcomes: list[dict]) -> Path:
    """Write a file in place of what an earlier run of the recipe left."""
    own = ROOT / "benchmarks" / "leakage"
    new = own / f"leakage-{folder.name}_{os.cpu_count()}cores_{today()}.md"
    for old in own.glob(f"leakage-{folder.name}_*.md"):
        old.unlink()
    new.write_text(benchmark(folder, outcomes), encoding="utf-8")
    return new


def write_into_docs(folder: Path, source: Path) -> None:
    """Lay the figure into docs, and name the new file there; pages.py writes the tables."""
    shutil.copyfile(folder / "leakage.svg", ROOT / "docs" / f"leakage-{folder.name}.svg")
    link = re.compile(rf"leakage-{folder.name}_[^)]*\.md")
    PAGE.write_text(link.sub(source.name, PAGE.read_text(encoding="utf-8")), encoding="utf-8")


def main(folders: list[Path]) -> None:
    for name in (folder.name for folder in folders):
        if f"leakage-{name}_" not in PAGE.read_text(encoding="utf-8"):
            sys.exit(f"{PAGE}: has no place for {name}.")
    done = 0
    for folder in folders:
        record = folder / "leakage.json"
        outcomes = json.loads(record.read_text(encoding="utf-8"))["outcomes"] if record.exists() else []
        if len(outcomes) < len(PROTOCOLS):
            print(f"{folder}: not finished, left out", file=sys.stderr)
            continue
        write_leakage_page(folder)
        path = write_benchmark(folder, outcomes)
        write_into_docs(folder, path)
        print(path)
        done += 1
    if not done:
        sys.exit("Nothing is finished.")
    subprocess.run([sys.executable, ROOT / "benchmarks" / "pages.py"], check=True)


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]])
