import io

import numpy as np
import pytest
from rich.console import Console

from lesionwise.cli import console
from lesionwise.cli.console import Display, describe_evaluation
from lesionwise.evaluation.scores.evaluate import evaluate
from lesionwise.labels import CODES
from lesionwise.progress import Stages


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


class Watch:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What a display prints where there is no terminal."""
    screen = io.StringIO()
    monkeypatch.setattr(console, "_notes", Console(file=screen, force_terminal=False, width=200))
    return screen


def test_a_log_gets_a_line_of_a_training_every_ten_seconds(log: io.StringIO) -> None:
    watch = Watch()
    with Display(quiet=False, clock=watch) as display:
        display.on_training(3)
        for done in range(0, 1001, 20):
            display.on_step(0, done, 1000)
            watch.now += 1
    lines = log.getvalue().splitlines()
    assert len(lines) == 5
    assert lines[0] == "epoch 1 of 3  200/1,000 images  20 images/s  about 0:02:20 left"
    assert lines[-1].endswith("about 0:01:40 left")


def test_the_line_of_an_epoch_says_how_long_the_rest_takes_about(log: io.StringIO) -> None:
    with Display(quiet=False, clock=Watch()) as display:
        display.on_training(3)
        row = dict.fromkeys(("train_loss", "val_loss", "val_accuracy", "val_balanced_accuracy"), 0.5)
        display.on_epoch({**row, "epoch": 0, "images_per_second": 20, "seconds": 60})
        display.on_epoch({**row, "epoch": 2, "images_per_second": 20, "seconds": 60})
    first, last = log.getvalue().splitlines()
    assert first.endswith("20 images/s  about 0:02:00 left")
    assert last.endswith("20 images/s")


def test_a_log_names_each_stage_and_how_long_the_others_take(log: io.StringIO) -> None:
    watch = Watch()
    with Display(quiet=False, clock=watch) as display:
        stages = Stages(display, 3)
        for title in ("reading", "drawing", "writing"):
            stages.begin(title)
            watch.now += 30
    assert log.getvalue().splitlines() == [
        "reading (1 of 3)",
        "drawing (2 of 3, about 0:01:00 left)",
        "writing (3 of 3, about 0:00:30 left)",
    ]


def test_work_on_images_in_a_log_says_how_long_it_takes(log: io.StringIO) -> None:
    watch = Watch()
    with Display(quiet=False, clock=watch) as display:
        for done in (10, 110, 210):
            display.on_work("reading images", done, 1010)
            watch.now += 10
    assert log.getvalue().splitlines() == [
        "reading images 110/1,010  10 images/s  about 0:01:30 left",
        "reading images 210/1,010  10 images/s  about 0:01:20 left",
    ]


def test_a_quiet_display_prints_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(console, "_notes", Console(file=screen, force_terminal=True))
    with Display(quiet=True) as display:
        display.on_work("reading images", 10, 10)
        display.on_step(0, 10, 10)
    assert screen.getvalue() == ""


def test_json_is_printed_letter_by_letter(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "_as_json", True)
    console.print_result("", {"a": ":warning: [bold]"})
    assert ":warning: [bold]" in capsys.readouterr().out


def test_both_numbers_of_a_share_have_commas() -> None:
    truth = np.repeat(np.arange(7), 3000)
    prob = np.full((len(truth), 7), 0.1)
    prob[np.arange(len(truth)), np.where(np.arange(len(truth)) % 2, truth, (truth + 1) % 7)] = 0.4
    scores = evaluate(
        [CODES[index] for index in truth], prob, np.arange(len(truth)).astype(str), resamples=20
    )
    text = describe_evaluation(scores, "many")
    assert "1,500 of 3,000 images" in text
    assert "it misses 1,500 of 3,000 melanoma images" in text
