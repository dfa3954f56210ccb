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
import sys
from datetime import UTC, datetime
from pathlib import Path

from lesionwise.experiments.leakage_scores import PROTOCOLS
from lesionwise.recipe import Recipe, load_recipe
from lesionwise.report.leakage import write_leakage_page

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "leakage.md"
HEAD = """# What a leak is worth

HAM10000, quality-75 copies; the reference split: fold 0 is not read, fold 1 is the exam, folds 2 to 4 are
what the four protocols deal out. One seed. 95 % intervals by lesion.
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
        HEAD.strip(),
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
    new = own / f"leakage-{folder.name}_{os.cpu_count()}cores_{datetime.now(UTC):%Y-%m-%d}.md"
    for old in own.glob(f"leakage-{folder.name}_*.md"):
        old.unlink()
    new.write_text(benchmark(folder, outcomes), encoding="utf-8")
    return new


def write_into_docs(folder: Path, outcomes: list[dict], source: Path) -> None:
    """Fill the place that docs/leakage.md has for the recipe."""
    shutil.copyfile(folder / "leakage.svg", ROOT / "docs" / f"leakage-{folder.name}.svg")
    figure = f"![Scores of {folder.name} under four ways of splitting](leakage-{folder.name}.svg)"
    link = f"[Command, versions and resolved recipe](../benchmarks/leakage/{source.name})."
    text = "\n\n".join([section(folder.name, outcomes), figure, link])
    place = re.compile(rf"(<!-- measured: {folder.name} -->\n).*?(\n<!-- /measured -->)", re.DOTALL)
    written = place.sub(lambda match: match[1] + text + match[2], PAGE.read_text(encoding="utf-8"))
    PAGE.write_text(written, encoding="utf-8")


def main(folders: list[Path]) -> None:
    for name in (folder.name for folder in folders):
        if f"<!-- measured: {name} -->" not in PAGE.read_text(encoding="utf-8"):
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
        write_into_docs(folder, outcomes, path)
        print(path)
        done += 1
    if not done:
        sys.exit("Nothing is finished.")


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]])
