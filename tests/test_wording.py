"""A number agrees with its noun in every message and on every page."""

import ast
import re
from collections.abc import Iterator

import pytest

from conftest import ROOT
from lesionwise.page.shell import templates
from lesionwise.wording import counted

HOME = ROOT / "src" / "lesionwise"
_NOUNS = (
    "images|lesions|rows|files|pairs|groups|classes|folds|epochs|views|labels|columns|values|cells|gaps|"
    "runs|seeds|members|networks|diagnoses|photographs|predictions|answers|decisions|candidates|ids|"
    "inputs|outputs|connections|decoders|processes|tensors|errors|warnings|findings|copies|patients"
)
_PLURAL = re.compile(rf" (?:[a-z-]+ ){{0,2}}(?:{_NOUNS})\b|(?: \([^)]*\))? (?:are|were|have|do|show)\b")
_COUNT = re.compile(rf"len\(|\bsum\(|\.sum\(\)|(?:^|[._'])(?:{_NOUNS}|count|number|total|missing)\b'?\]?$")
_IN_TEMPLATE = re.compile(rf"\{{\{{ ([\w.]+(?: ?\| ?length)?) \}}\}}(?: (?:[a-z-]+ ){{0,2}}(?:{_NOUNS}))\b")


def by_hand(code: str) -> Iterator[str]:
    """Yield the numbers in f-strings that a plural follows; constants and shares do not count."""
    for node in ast.walk(ast.parse(code)):
        if not isinstance(node, ast.JoinedStr):
            continue
        for value, after in zip(node.values, node.values[1:], strict=False):
            if not isinstance(value, ast.FormattedValue) or not isinstance(after, ast.Constant):
                continue
            number = ast.unparse(value.value)
            form = "".join(str(part.value) for part in getattr(value.format_spec, "values", []))
            counts = form.endswith(",") or (not form.endswith("%") and _COUNT.search(number))
            fixed = re.search(r"counted\(|limits\.|\b[A-Z_]{2,}\b", number)
            if counts and not fixed and _PLURAL.match(str(after.value)):
                yield f"{value.lineno}: {number}{str(after.value)[:30]}"


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ('f"{len(rows)} rows differ"', 1),
        ('f"All {tally.images} test images are in it"', 1),
        ('f"{total:,} of the images"', 1),
        ('f"{missing} are missing"', 1),
        ('f"{len(lost)} (3 %) show it"', 1),
        ("f\"{counted(len(rows), 'row differs', 'rows differ')}\"", 0),
        ('f"at most {MOST:,} images"', 0),
        ('f"{name} images"', 0),
    ],
)
def test_a_plural_by_hand_is_found(code: str, found: int) -> None:
    assert len(list(by_hand(code))) == found


def test_a_message_counts_its_nouns_with_counted() -> None:
    found = [
        f"{path.relative_to(HOME)}:{place}"
        for path in sorted(HOME.rglob("*.py"))
        for place in by_hand(path.read_text("utf-8"))
    ]
    assert found == []


def test_a_page_counts_its_nouns_with_counted() -> None:
    found = [
        f"{path.relative_to(HOME)}: {match[0]}"
        for path in sorted([*HOME.rglob("*.html"), *HOME.rglob("templates/*.md")])
        for match in _IN_TEMPLATE.finditer(path.read_text("utf-8"))
    ]
    assert found == []


def test_the_filter_of_the_pages_is_the_wording_of_the_messages() -> None:
    text = templates("lesionwise.page").from_string(
        '{{ 1 | counted("image") }}, {{ 2004 | counted("image") }}'
    )
    assert text.render() == f"{counted(1, 'image')}, {counted(2004, 'image')}" == "1 image, 2,004 images"
