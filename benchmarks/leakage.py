"""Write what `lesionwise leakage` measured as a benchmark, and into docs/leakage.md.

    split=benchmarks/reference_split.csv
    lesionwise leakage seed-cnn-256 --set epochs=15 --data DIR --split $split --out OUT/seed-cnn-256
    lesionwise leakage seed-cnn --set epochs=15 --data DIR --split $split --out OUT/seed-cnn
    python benchmarks/leakage.py OUT/seed-cnn-256 OUT/seed-cnn

A folder whose protocols are not all done is left out, and named.
"""

import json
import os
import re
import shutil
import sys
from pathlib import Path

from lesionwise.report.leakage import write_leakage_page
from lesionwise.training.leak_outcome import PROTOCOLS

ROOT = Path(__file__).resolve().parents[1]
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


def section(folder: Path, outcomes: list[dict]) -> str:
    return "\n\n".join(
        [
            f"### `{folder.name}`",
            "Balanced accuracy:",
            table(outcomes, "balanced_accuracy"),
            "Accuracy:",
            table(outcomes, "accuracy"),
        ]
    )


def benchmark(done: dict[Path, list[dict]]) -> str:
    environment = json.loads((next(iter(done)) / "environment.json").read_text(encoding="utf-8"))
    versions = ", ".join(f"{name} {number}" for name, number in environment["packages"].items())
    command = "    lesionwise leakage {0} --set epochs=15 --data DIR --split $split --out OUT/{0}"
    commands = [command.format(folder.name) for folder in done]
    commands.append("    python benchmarks/leakage.py " + " ".join(f"OUT/{folder.name}" for folder in done))
    machine = f"{os.cpu_count()} cores shared with other work, one thread; Python {environment['python']}"
    blocks = [
        HEAD.strip(),
        "\n".join(["    split=benchmarks/reference_split.csv", *commands]),
        f"{machine}, {versions}.",
    ]
    for folder, outcomes in done.items():
        recipe = (folder / "config.toml").read_text(encoding="utf-8").strip()
        blocks += [
            section(folder, outcomes).replace("### ", "## ", 1),
            "What leaked:",
            taint(outcomes),
            f"Resolved recipe:\n\n```toml\n{recipe}\n```",
        ]
    return "\n\n".join(blocks) + "\n"


def main() -> None:
    done = {}
    for folder in map(Path, sys.argv[1:]):
        record = folder / "leakage.json"
        outcomes = json.loads(record.read_text(encoding="utf-8"))["outcomes"] if record.exists() else []
        if len(outcomes) < len(PROTOCOLS):
            print(f"{folder}: not finished, left out", file=sys.stderr)
            continue
        done[folder] = outcomes
        write_leakage_page(folder)
        shutil.copyfile(folder / "leakage.svg", ROOT / "docs" / f"leakage-{folder.name}.svg")
    if not done:
        sys.exit("Nothing is finished.")
    earlier = sorted((ROOT / "benchmarks").glob("leakage_*.md"))
    path = earlier[-1] if earlier else ROOT / "benchmarks" / "leakage_2cores_2026-11-21.md"
    path.write_text(benchmark(done), encoding="utf-8")
    page = ROOT / "docs" / "leakage.md"
    figures = [
        f"{section(folder, outcomes)}\n\n![Scores of {folder.name} under four ways of splitting]"
        f"(leakage-{folder.name}.svg)"
        for folder, outcomes in done.items()
    ]
    link = f"Measured with 15 epochs: [benchmarks](../benchmarks/{path.name})."
    text = "\n\n".join([link, *figures])
    marked = re.compile(r"(<!-- measured: .* -->\n).*(\n<!-- /measured -->)", re.DOTALL)
    written = marked.sub(lambda match: match[1] + text + match[2], page.read_text(encoding="utf-8"))
    page.write_text(written, encoding="utf-8")
    print(path)


if __name__ == "__main__":
    main()
