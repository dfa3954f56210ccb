"""Published numbers are what their sources say, and a page with a changed figure does not pass."""

import importlib.util
import re
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from conftest import ROOT

README, RESULTS = "README.md", "docs/results.md"


def _load_pages() -> ModuleType:
    specification = importlib.util.spec_from_file_location("pages", ROOT / "benchmarks" / "pages.py")
    assert specification
    assert specification.loader
    module = importlib.util.module_from_spec(specification)
    sys.modules["pages"] = module  # where a dataclass looks for its module
    specification.loader.exec_module(module)
    return module


PAGES: Any = _load_pages()
REGISTER = PAGES.read_register()
WHOLE = [path for path, page in REGISTER["pages"].items() if not page.get("partial")]
PARTIAL = [path for path in REGISTER["pages"] if path not in WHOLE]


@cache
def _expected() -> dict[str, Any]:
    pages: dict[str, Any] = PAGES.expected_pages(REGISTER)
    return pages


def _read(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def _figures(text: str) -> list[tuple[int, int]]:
    """Return where the figures of a page stand; addresses and inline code have none."""
    apart = [found.span() for found in PAGES.ADDRESS.finditer(text)]
    return [
        found.span()
        for found in PAGES.FIGURE.finditer(text)
        if not any(start <= found.start() < end for start, end in apart)
    ]


def _with_other_digit(text: str, place: int) -> str:
    return text[:place] + str((int(text[place]) + 1) % 10) + text[place + 1 :]


@pytest.mark.parametrize("path", [*WHOLE, *PARTIAL])
def test_every_figure_of_a_page_is_what_its_source_says(path: str) -> None:
    assert PAGES.check_page(_read(path), _expected()[path]) == []


@pytest.mark.parametrize("path", WHOLE)
def test_a_page_does_not_pass_with_any_one_figure_changed(path: str) -> None:
    text, expected = _read(path), _expected()[path]
    unnoticed = [
        text[start - 30 : end + 10]
        for start, end in _figures(text)
        if not PAGES.check_page(_with_other_digit(text, end - 1), expected)
    ]
    assert unnoticed == []


@pytest.mark.parametrize("path", PARTIAL)
def test_a_partial_page_does_not_pass_with_a_figure_of_its_sentences_changed(path: str) -> None:
    text, expected = PAGES.squeeze(_read(path)), _expected()[path]
    for sentence in expected.sentences:
        place = text.index(sentence)
        figures = _figures(sentence) or [found.span() for found in re.finditer(r"\b\d+\b", sentence)]
        assert figures
        for _, end in figures:
            assert PAGES.check_page(_with_other_digit(text, place + end - 1), expected)


def test_the_pages_with_results_hold_many_figures() -> None:
    assert len(_figures(_read(README))) > 35
    assert len(_figures(_read(RESULTS))) > 100


@pytest.mark.parametrize("path", [README, RESULTS])
def test_swapped_scores_of_the_two_models_are_noticed(path: str) -> None:
    best, larger = "0.789 (0.745 to 0.826)", "0.809 (0.765 to 0.846)"
    text = _read(path)
    assert best in text
    assert larger in text
    swapped = text.replace(best, "¦").replace(larger, best).replace("¦", larger)
    assert PAGES.check_page(swapped, _expected()[path])


def test_every_page_of_docs_that_quotes_an_interval_is_registered() -> None:
    interval = re.compile(r"\(\W?0?\.\d{2,3} to \W?0?\.\d{2,3}\)")
    example = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)  # those with output are tests of their own
    quoting = [
        str(page.relative_to(ROOT))
        for page in [ROOT / README, *(ROOT / "docs").glob("*.md")]
        if interval.search(example.sub("", page.read_text(encoding="utf-8")))
    ]
    assert len(quoting) >= 4
    assert [page for page in quoting if page not in REGISTER["pages"]] == []


def test_a_figure_without_a_source_is_named() -> None:
    nothing = PAGES.Expected({}, [], [])
    assert "'0.5'" in PAGES.check_page("It scores 0.5 here.", nothing)[0]
    assert "'.316'" in PAGES.check_page("It lost .316 of it.", nothing)[0]
    assert PAGES.check_page("Write `eval_zoom = 1.3`, see [this](page-2.5.md).", nothing) == []


def test_a_number_follows_its_source(monkeypatch: pytest.MonkeyPatch) -> None:
    table = PAGES.expected_tables(REGISTER)["readme"]
    real = PAGES.read_json

    def changed(place: str) -> object:
        value = real(place)
        if place != "runs/best-twice-lesion/scores.json":
            return value
        accuracy = value["parts"]["test"]["overall"]["accuracy"] | {"value": 0.5}
        overall = value["parts"]["test"]["overall"] | {"accuracy": accuracy}
        return {"parts": {"test": value["parts"]["test"] | {"overall": overall}}}

    monkeypatch.setattr(PAGES, "read_json", changed)
    assert PAGES.expected_tables(REGISTER)["readme"] == table.replace("0.828 (", "0.500 (")


@pytest.mark.parametrize(
    ("slot", "message"),
    [
        ("{nowhere/accuracy}", "no place nor quote is named 'nowhere'"),
        ("{best/nothing}", "has no such number"),
        ("{outside/ISIC/nothing/best}", "no table has the row 'nothing'"),
    ],
)
def test_a_slot_that_names_nothing_is_refused(slot: str, message: str) -> None:
    with pytest.raises(PAGES.NumbersError, match=message):
        PAGES.render(REGISTER, slot)


@pytest.mark.parametrize("path", PAGES.noted_pages(REGISTER), ids=PAGES.place_of)
def test_a_record_passes_with_its_own_figures_and_not_with_any_one_of_them_changed(path: Path) -> None:
    place, lines = PAGES.place_of(path), path.read_text(encoding="utf-8").splitlines()
    noted = PAGES.read_noted()[place]
    figures = [PAGES.numbers_of(line) for line in lines]
    assert PAGES.check_noted(place, [number for each in figures for number in each], noted) == []
    for row, line in enumerate(lines):
        apart = [found.span() for found in PAGES.ADDRESS.finditer(line)]
        for found in PAGES.NUMBER.finditer(line):
            if any(start <= found.start() < end for start, end in apart):
                continue
            changed = PAGES.numbers_of(_with_other_digit(line, found.end() - 1))
            assert changed != figures[row], line
            around = [number for each in (*figures[:row], changed, *figures[row + 1 :]) for number in each]
            assert PAGES.check_noted(place, around, noted)


def test_new_figures_of_a_record_are_told_from_changed_ones() -> None:
    assert "has new figures" in PAGES.check_noted("page.md", ["1", "2", "3"], ["1", "3"])[0]
    assert "has new figures" in PAGES.check_noted("page.md", ["1"], None)[0]
    assert "had the figures '3' and now has '4'" in PAGES.check_noted("page.md", ["1", "4"], ["1", "3"])[0]


def test_the_index_is_what_the_heads_of_the_results_say() -> None:
    assert PAGES.INDEX.read_text(encoding="utf-8") == PAGES.write_index()


@pytest.mark.parametrize("path", PAGES.results(), ids=lambda path: path.name)
def test_the_figures_in_the_head_of_a_result_stand_in_its_text(path: Path) -> None:
    text = path.read_text(encoding="utf-8").split("\n---\n", 1)[1]
    figures = re.findall(r"\d[\d.,]*\d|\.\d+", PAGES.head_of(path)["result"])
    assert [figure for figure in figures if figure not in text] == []


def test_every_file_of_the_laboratory_has_a_room() -> None:
    rooms = {place.name for place in PAGES.LABORATORY.iterdir() if place.is_dir()} - {"__pycache__"}
    assert rooms == {*PAGES.ROOMS, "runs"}
