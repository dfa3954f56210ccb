"""`docs/python-api.md`: its examples run, and it names every public name."""

import doctest

import pytest

import lesionwise
from conftest import ROOT

PAGE = ROOT / "docs" / "python-api.md"


def test_the_page_names_every_public_name() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert not [name for name in lesionwise.__all__ if f"`{name}`" not in text]
    assert not [
        name for name in lesionwise.__all__ if f"import {name}" not in text.replace(", ", "\nimport ")
    ]


def test_the_examples_of_the_page_print_what_it_shows(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch")
    text = PAGE.read_text(encoding="utf-8").replace("```", "")
    examples = doctest.DocTestParser().get_doctest(text, {}, PAGE.name, str(PAGE), 0)
    assert len(examples.examples) > 30
    doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(examples)
    shown = capsys.readouterr().out
    assert not shown, shown
