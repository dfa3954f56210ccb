"""Write the tables of README and docs from the files that hold the numbers, and the index of the benchmarks.

    python benchmarks/pages.py                 # writes what is generated
    python benchmarks/pages.py --check         # says what differs, and writes nothing
    python benchmarks/pages.py --note PAGE     # takes the changed figures of a page for right

`docs/numbers.toml` is the register. A table of a page stands between `<!-- table: NAME -->` and
`<!-- /table -->`; its template stands in the register, with slots such as `{best/accuracy}` for the numbers.
Sentences with numbers are templates too, which the page must hold word for word. Every other figure of a
registered page must lie in one of the page's `plain` phrases: it is no measurement, but a version, a setting
or a fact of the data. A page that is `partial` may hold other figures.

A slot is `{PLACE/KEY/…:FORMAT}`, or `{SLOT less SLOT:FORMAT}` for a difference. PLACE is one of

* a name of `[places]`: a JSON file, perhaps with the keys at which to begin, or a page of results, whose
  tables are read as ROW/COLUMN or HEADING/ROW/COLUMN;
* a name of `[quotes]`: a text in a file, with `{}` for the number.

FORMAT is empty (a score with its interval, or the text as it stands), a number of decimals (`3`; without the
leading zero `.3`), `.interval` and, with two decimals, `.interval2`, `,` for thousands, `%` for a whole
percentage, or `change` for a signed difference with its interval. A minus before it changes the sign.

`benchmarks/README.md` is written from the heads of the results.

A page of results is a record, and most of its figures have no other source. The same holds for the changelog,
for recipes, for the sentences of the service's page, and for settings that docs name.
`benchmarks/figures.txt` notes the figures of all these pages in their order. New figures are noted by the
first command above. A figure that changed or is gone is an error until `--note` names its page: then the
change stands in the diff of `figures.txt`, for whoever reads it.
"""

import json
import re
import sys
import textwrap
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

ROOT = Path(__file__).resolve().parents[1]
LABORATORY = ROOT / "benchmarks"
REGISTER = ROOT / "docs" / "numbers.toml"
INDEX = LABORATORY / "README.md"
NOTED = LABORATORY / "figures.txt"
FIGURE = re.compile(r"(?<![\w.,/])(?:\d{1,3}(?:,\d{3})+|\d*\.\d+|\d+(?=\s?(?:%|[KMG]B\b)))(?![\w]|\.\d)")
NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
TABLE = re.compile(r"(<!-- table: ([\w-]+) -->\n).*?(<!-- /table -->)", re.DOTALL)
ADDRESS = re.compile(r"`[^`]*`|\]\([^)]*\)|https?://\S+|<!--.*?-->")
SLOT = re.compile(r"\{([^{}]+)\}")
MINUS: Final = "\N{MINUS SIGN}"
HEADS = ("question", "command", "result", "processor", "date")
ROOMS = {
    "accuracy": "How good the models and recipes are",
    "leakage": "What a leak is worth",
    "speed": "Time and memory",
    "search": "The search for the models that ship",
    "correctness": "Whether intervals, calibration, several processes and tests do what they should",
    "reliability": "Damaged files, kills and full disks",
}


Value = dict[str, Any] | list[Any] | str | int | float


class NumbersError(Exception):
    """A slot, a table or a head that cannot be read."""


# Where a number stands


def cells(line: str) -> list[str]:
    return [cell.strip().replace("`", "").replace("**", "") for cell in line.strip().strip("|").split("|")]


@cache
def read_text(place: str) -> str:
    found = sorted(LABORATORY.glob(place))
    if len(found) != 1:
        raise NumbersError(f"Expected one file for benchmarks/{place} but found {len(found)}.")
    return found[0].read_text(encoding="utf-8")


@cache
def tables_of(place: str) -> list[tuple[str, list[list[str]]]]:
    """Return the tables of a page of results, each with the heading that it stands under."""
    heading, rows, tables = "", [], []
    for line in [*read_text(place).splitlines(), ""]:
        if line.startswith("#"):
            heading = line.strip("# ").replace("`", "")
        if line.startswith("|"):
            rows.append(cells(line))
        elif rows:
            tables.append((heading, rows))
            rows = []
    return tables


def cell_of(place: str, keys: list[str]) -> str:
    """Return what stands in a row and a column of the first table that has both."""
    *headings, row, column = keys
    heading = headings[0] if headings else ""
    for name, rows in tables_of(place):
        if heading in name and column in rows[0]:
            for line in rows[1:]:
                if line[0] == row:
                    return line[rows[0].index(column)]
    raise NumbersError(f"benchmarks/{place}: no table has the row {row!r} and the column {column!r}.")


@cache
def read_json(place: str) -> Value:
    return json.loads(read_text(place))


def step(value: dict[str, Any] | list[Any], key: str) -> Value:
    """Go one key down: of a dictionary, of a list by number, or of a list of changes by name and strength."""
    if isinstance(value, list):
        if key.isdigit():
            return value[int(key)]
        name, strength = key.rsplit(" ", 1)
        return next(one for one in value if one["name"] == name and one["strength"] == int(strength))
    if key not in value:
        for within in ("overall", "per_class"):
            if key in value.get(within, {}):
                return value[within][key]
    return value[key]


def look_up(register: dict[str, Any], path: str) -> Value:
    """Return the number, score or text that a slot names."""
    name, *keys = path.split("/")
    if name in register["quotes"]:
        quote = register["quotes"][name]
        before, after = (re.escape(part) for part in quote["text"].split("{}"))
        number = rf"([-{MINUS}+]?[\d.,]+(?: \([\d.]+ to [\d.]+\))?)"
        found = set(re.findall(before + number + after, squeeze(read_text(quote["file"]))))
        if len(found) != 1:
            raise NumbersError(f"{quote['file']}: expected {quote['text']!r} once but found {len(found)}.")
        return found.pop()
    if name not in register["places"]:
        raise NumbersError(f"{{{path}}}: no place nor quote is named {name!r} in {REGISTER.name}.")
    place, *start = register["places"][name].split(" ")
    if not place.endswith(".json"):
        return cell_of(place, keys)
    value = read_json(place)
    try:
        for key in [*"/".join(start).split("/"), *keys]:
            value = step(value, key) if key else value
    except (KeyError, IndexError, StopIteration) as missing:
        raise NumbersError(f"{{{path}}}: benchmarks/{place} has no such number.") from missing
    return value


# How it is written


def plain_number(value: Value) -> float:
    """Return a number; of a score the value, of a text its first figure."""
    if isinstance(value, dict):
        value = value.get("value", value.get("mean"))
    if isinstance(value, str):
        found = re.search(r"[-+]?\d*\.?\d+", value.replace(",", "").replace(MINUS, "-"))
        if not found:
            raise NumbersError(f"Expected a number but found {value!r}.")
        value = float(found[0])
    return float(value)


def decimals(value: float, form: str) -> str:
    text = f"{value:.{int(form.lstrip('.'))}f}"
    return bare(text) if form.startswith(".") else text


def interval(score: dict[str, float], digits: int = 3) -> str:
    return f"{plain_number(score):.{digits}f} ({score['low']:.{digits}f} to {score['high']:.{digits}f})"


def bare(text: str) -> str:
    return re.sub(r"\b0\.", ".", text)


def write_value(value: Value, form: str) -> str:
    """Return a value as a page has it."""
    text = interval(value) if isinstance(value, dict) else str(value)
    if isinstance(value, int):
        text = f"{value:,}"
    if form == ".interval":
        text = bare(text)
    elif form == ".interval2" and isinstance(value, dict):
        text = bare(interval(value, 2))
    elif form == "change":  # `+0.035 (-0.011 to +0.081); …` of a table, as a sentence has it
        text = re.sub(r"(?<=[( ])\+", "", text.split(";")[0]).replace("-", MINUS)
    elif form:
        number = -plain_number(value) if form.startswith("-") else plain_number(value)
        form = form.removeprefix("-")
        text = (
            f"{number:,.0f}" if form == "," else f"{number:.0f} %" if form == "%" else decimals(number, form)
        )
    return text


def render(register: dict[str, Any], template: str) -> str:
    def write(slot: re.Match[str]) -> str:
        path, _, form = slot[1].partition(":")
        value, *others = (look_up(register, part) for part in path.split(" less "))
        for other in others:
            value = plain_number(value) - plain_number(other)
        return write_value(value, form)

    return SLOT.sub(write, template)


def excerpt(copied: dict[str, str]) -> str:
    """Return what stands in a file between two texts, or behind the first."""
    text, after, before = read_text(copied["file"]), copied["after"], copied.get("before")
    start = text.find(after)
    end = text.find(before, start + len(after)) if before else len(text)
    if start < 0 or end < 0:
        raise NumbersError(f"benchmarks/{copied['file']}: expected {after!r} and, behind it, {before!r}.")
    return text[start + len(after) : end].strip("\n")


# The pages


@dataclass(frozen=True)
class Expected:
    """What a page must hold: its tables by name, its sentences, its figures that are no measurement."""

    tables: dict[str, str]
    sentences: list[str]
    plain: list[str]
    partial: bool = False


def read_register() -> dict[str, Any]:
    return tomllib.loads(REGISTER.read_text(encoding="utf-8"))


def expected_tables(register: dict[str, Any]) -> dict[str, str]:
    tables = {}
    for name, table in register["tables"].items():
        text = excerpt(table["copy"]) if "copy" in table else render(register, table["text"])
        tables[name] = text.strip("\n") + "\n"
    return tables


def expected_pages(register: dict[str, Any]) -> dict[str, Expected]:
    """Return what each registered page must hold, by its path from the root."""
    tables = expected_tables(register)
    pages = {}
    for path, page in register["pages"].items():
        sentences = [squeeze(render(register, sentence)) for sentence in page.get("sentences", [])]
        plain = [squeeze(text) for text in page.get("plain", [])]
        pages[path] = Expected(tables, sentences, plain, page.get("partial", False))
    return pages


def squeeze(text: str) -> str:
    return " ".join(text.split())


def spans(phrase: str, text: str) -> list[tuple[int, int]]:
    """Return where a phrase stands; not inside a longer number."""
    pattern = rf"(?<![\d.,]){re.escape(phrase)}(?!\d|[.,]\d)"
    return [found.span() for found in re.finditer(pattern, text)]


def check_page(text: str, expected: Expected) -> list[str]:
    """Return what is wrong with a page; nothing if every figure in it is what its source says."""
    wrong = []
    for found in TABLE.finditer(text):
        name, body = found[2], found[0][len(found[1]) : -len(found[3])]
        if name not in expected.tables:
            wrong.append(f"the table {name!r} is not in {REGISTER.name}")
        elif body != expected.tables[name]:
            wrong.append(f"the table {name!r} differs from its source")
    prose = squeeze(TABLE.sub(" ", text))
    covered = [found.span() for found in ADDRESS.finditer(prose)]
    for phrase in (*expected.sentences, *expected.plain):
        places = spans(phrase, prose)
        if not places:
            wrong.append(f"expected the text {phrase!r}")
        covered += places
    for found in [] if expected.partial else FIGURE.finditer(prose):
        if not any(start <= found.start() and found.end() <= end for start, end in covered):
            around = prose[max(0, found.start() - 40) : found.end() + 20]
            wrong.append(f"the figure {found[0]!r} has no source: …{around}…")
    return wrong


def write_page(text: str, expected: Expected) -> str:
    """Return a page with its tables as they should be."""
    return TABLE.sub(lambda found: found[1] + expected.tables[found[2]] + found[3], text)


# The figures of records


def noted_pages(register: dict[str, Any]) -> list[Path]:
    """Return the pages whose figures are noted: records, and pages of which not every figure is bound."""
    bound = {path for path, page in register["pages"].items() if not page.get("partial")}
    tested = {"docs/commands.md", "docs/python-api.md"}  # each compared with what it shows
    docs = [path for path in sorted((ROOT / "docs").glob("*.md")) if place_of(path) not in bound | tested]
    package = ROOT / "src" / "lesionwise"
    recipes = sorted((package / "recipes").glob("*.toml"))
    page = package / "serve" / "strings.toml"
    return [ROOT / "CHANGELOG.md", LABORATORY / "published.md", *results(), *docs, *recipes, page]


def place_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def numbers_of(text: str) -> list[str]:
    """Return the numbers of a page in their order; addresses and inline code have none."""
    return [number for line in text.splitlines() for number in NUMBER.findall(ADDRESS.sub(" ", line))]


def read_noted() -> dict[str, list[str]]:
    noted: dict[str, list[str]] = {}
    for line in NOTED.read_text(encoding="utf-8").splitlines():
        if line.startswith(" "):
            noted[next(reversed(noted))] += line.split()
        else:
            noted[line] = []
    return noted


def write_noted(noted: dict[str, list[str]]) -> str:
    lines = []
    for place in sorted(noted):
        lines += [
            place,
            *textwrap.wrap(" ".join(noted[place]), 100, initial_indent=" ", subsequent_indent=" "),
        ]
    return "\n".join(lines) + "\n"


def check_noted(place: str, now: list[str], before: list[str] | None) -> list[str]:
    """Return what is wrong with the figures of a page; nothing if they are those that were noted."""
    if now == before:
        return []
    remaining = iter(now)
    if before is None or all(number in remaining for number in before):
        return [f"{place}: has new figures; run python benchmarks/pages.py"]
    where = next((k for k, pair in enumerate(zip(before, now, strict=False)) if pair[0] != pair[1]), len(now))
    was, became = " ".join(before[where : where + 4]), " ".join(now[where : where + 4])
    named = f"had the figures {was!r} and now has {became!r}"
    return [f"{place}: {named}. If this is right, run python benchmarks/pages.py --note {place}"]


# The index


def results() -> list[Path]:
    """Return the pages of results: those with a room, in the order of the index."""
    return [path for room in ROOMS for path in sorted((LABORATORY / room).rglob("*.md"))]


def head_of(path: Path) -> dict[str, str]:
    """Return what the head of a page of results says: question, command, result, processor, date."""
    text = path.read_text(encoding="utf-8")
    found = re.match(r"---\n(.*?)\n---\n", text, re.DOTALL)
    head = dict(line.split(": ", 1) for line in found[1].splitlines()) if found else {}
    if tuple(head) != HEADS:
        raise NumbersError(f"{path.relative_to(ROOT)}: expected a head with {', '.join(HEADS)}.")
    return head


def write_index() -> str:
    lines = [
        "# The benchmarks",
        "",
        "Every published number has a file here, with the command that measured it.",
        "Each room holds scripts beside their results.",
        "`python benchmarks/pages.py` writes this page from the heads of the results.",
        "",
        "`reference_split.csv` is the split that all scores rest on; `test-ledger.csv` notes every look at",
        "its test part. `runs/` keeps recipes, histories, answers and scores of the runs.",
        "[published.md](published.md) lists what others report.",
    ]
    room = None
    for path in results():
        place = path.relative_to(LABORATORY)
        if place.parts[0] != room:
            room = place.parts[0]
            lines += ["", f"## {ROOMS[room]}: `{room}/`", ""]
            lines += ["| question | command | result | processor | date |", "|---|---|---|---|---|"]
        head = head_of(path)
        question, *rest = head.values()
        lines.append(f"| {' | '.join([f'[{question}]({place})', *rest])} |")
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> int:
    """Write the tables and the index, or with --check say what is wrong; return the exit status."""
    wrong = []
    register = read_register()
    for path, expected in expected_pages(register).items():
        page = ROOT / path
        text = page.read_text(encoding="utf-8")
        if "--check" not in arguments:
            text, before = write_page(text, expected), text
            if text != before:
                page.write_text(text, encoding="utf-8")
        wrong += [f"{path}: {what}" for what in check_page(text, expected)]
    noted = read_noted() if NOTED.exists() else {}
    pages = {place_of(path): numbers_of(path.read_text(encoding="utf-8")) for path in noted_pages(register)}
    for place, now in pages.items():
        found = check_noted(place, now, noted.get(place))
        if "--check" in arguments or (found and "new figures" not in found[0] and place not in arguments):
            wrong += found
            pages[place] = noted.get(place, now)
    if "--check" not in arguments:
        NOTED.write_text(write_noted(pages), encoding="utf-8")
        INDEX.write_text(write_index(), encoding="utf-8")
    elif INDEX.read_text(encoding="utf-8") != write_index():
        wrong.append(f"{INDEX.relative_to(ROOT)}: differs from the heads of the results")
    print("\n".join(wrong) or "Every figure is what its source says.")
    return 1 if wrong else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except NumbersError as wrong:
        sys.exit(str(wrong))
