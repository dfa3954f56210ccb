import io

import pytest
from rich.console import Console

from lesionwise.cli import console
from lesionwise.cli.console import Display


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_is_shown_from_the_first_image_on_a_terminal_and_in_a_log(
    *, terminal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(console, "_notes", Console(file=screen, force_terminal=terminal, width=100))
    with Display(quiet=False) as display:
        for done in range(0, 101, 10):
            display.on_work("reading images", done, 100)
        display.on_work("computing features", 64, 64)
        display.on_step(0, 10, 100)
        display.on_step(0, 100, 100)
        display.on_step(1, 10, 100)
        display.on_work("looking at images", 100, 100)
    for line in ("reading images 100/100", "computing features 64/64", "looking at images 100/100"):
        assert (line in screen.getvalue()) != terminal


def test_a_quiet_display_prints_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(console, "_notes", Console(file=screen, force_terminal=True))
    with Display(quiet=True) as display:
        display.on_work("reading images", 10, 10)
        display.on_step(0, 10, 10)
    assert screen.getvalue() == ""


def test_json_is_printed_letter_by_letter(capsys: pytest.CaptureFixture[str]) -> None:
    console.print_result("", {"a": ":warning: [bold]"}, as_json=True)
    assert ":warning: [bold]" in capsys.readouterr().out
