import re
from pathlib import Path

import pytest

from lesionwise.evaluation.scores import subgroups
from lesionwise.evaluation.scores.evaluate import OVERALL, PER_CLASS

DOCS = Path(__file__).resolve().parents[2] / "docs" / "scores.md"
SCORES = {*OVERALL, *PER_CLASS, *subgroups.SCORES, "McNemar", "differences", "Ranks", "stability"}
SECTIONS = dict(
    re.findall(r"^## (\S.*?)\n(.*?)(?=^## |\Z)", DOCS.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
)


@pytest.mark.parametrize("name", sorted(SCORES))
def test_every_score_is_defined_with_its_traps_and_its_source(name: str) -> None:
    assert name in SECTIONS
    assert "*Misleads*" in SECTIONS[name]
    assert "*Source*:" in SECTIONS[name]


def test_no_section_is_left_over() -> None:
    around = {"How the intervals are made", "Test sets that lack a diagnosis", "Many images"}
    assert set(SECTIONS) == SCORES | around | {"The challenge's own scorer"}


def test_links_inside_the_page_lead_somewhere() -> None:
    targets = re.findall(r"\]\(#([^)]+)\)", DOCS.read_text(encoding="utf-8"))
    anchors = {name.lower().replace(" ", "-") for name in SECTIONS}
    assert set(targets) <= anchors
