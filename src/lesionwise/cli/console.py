"""Printing: results to stdout; progress, notes and errors to stderr."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from lesionwise.evaluate.evaluation import Evaluation

_out = Console(highlight=False, soft_wrap=True)
_notes = Console(stderr=True, highlight=False, soft_wrap=True)


def print_result(text: str, value: Any = None, *, as_json: bool = False) -> None:  # noqa: ANN401 (any JSON value)
    """Print a result: the text, or the value as JSON where that was asked for."""
    if as_json:
        _out.print(json.dumps(value, indent=2, ensure_ascii=False), markup=False)
    else:
        _out.print(text, markup=False)


def print_note(text: str, *, quiet: bool = False) -> None:
    """Print what a user may want to know on the way."""
    if not quiet:
        _notes.print(text, markup=False)


def print_error(text: str) -> None:
    """Print why a command ends."""
    _notes.print(f"Error: {text}", markup=False)


@contextmanager
def progress(title: str, *, quiet: bool = False) -> Iterator[Callable[[int, int], None]]:
    """Yield a function that takes what is done and what is to be done.

    On a terminal it moves a bar; in a log it prints a line at each tenth.
    """
    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=_notes, disable=quiet or not _notes.is_terminal, transient=True) as bar:
        task = bar.add_task(title, total=None)
        tenth = 0

        def show(done: int, total: int) -> None:
            nonlocal tenth
            bar.update(task, completed=done, total=total)
            if not _notes.is_terminal and done * 10 // total > tenth:
                tenth = done * 10 // total
                print_note(f"{title} {done}/{total}", quiet=quiet)

        yield show


def print_epoch(row: dict[str, float]) -> None:
    """Print one line for a finished epoch."""
    print_note(
        f"epoch {row['epoch'] + 1:.0f}  loss {row['train_loss']:.3f}  val loss {row['val_loss']:.3f}  "
        f"accuracy {row['val_accuracy']:.3f}  balanced accuracy {row['val_balanced_accuracy']:.3f}  "
        f"{row['images_per_second']:.0f} images/s"
    )


def describe_evaluation(evaluation: "Evaluation", title: str) -> str:
    """Return the main scores with their intervals and the baseline as lines of text."""
    counts = f"{evaluation.images} images of {evaluation.lesions} lesions"
    lines = [
        f"{title}: {counts} (95 % intervals by {evaluation.resampled_by})",
        f"  {'':23} {'':25}   knowing only how common each diagnosis is",
    ]
    for name, estimate in evaluation.overall.items():
        lines.append(f"  {name.replace('_', ' '):23} {estimate!s:25}   {evaluation.baseline[name]:.3f}")
    return "\n".join(lines)
