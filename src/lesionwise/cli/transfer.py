"""Showing a download: bytes as they come in, images as they are unpacked."""

from typing import Self

from rich import progress as bars
from rich.console import Console
from typing_extensions import override

from lesionwise.cli.console import print_note
from lesionwise.progress import Progress

_TENTHS = 10


class TransferDisplay(Progress):
    """A moving bar for each file on a terminal, a line at each tenth in a log.

    Args:
        quiet: Show nothing.
    """

    def __init__(self, *, quiet: bool) -> None:
        console = Console(stderr=True)
        self._lines = not quiet and not console.is_terminal
        self._bar = bars.Progress(
            bars.TextColumn("{task.description}"),
            bars.BarColumn(),
            bars.DownloadColumn(),
            bars.TimeRemainingColumn(),
            console=console,
            disable=quiet or not console.is_terminal,
            transient=True,
        )
        self._tasks: dict[str, bars.TaskID] = {}
        self._shown: dict[str, int] = {}

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    @override
    def on_bytes(self, name: str, done: int, total: int) -> None:
        if name not in self._tasks:
            self._tasks[name] = self._bar.add_task(name)
        self._bar.update(self._tasks[name], completed=done, total=total or None)
        tenth = done * _TENTHS // total if total else 0
        if self._lines and tenth > self._shown.get(name, 0):
            self._shown[name] = tenth
            print_note(f"{name} {done / 1e6:,.0f} of {total / 1e6:,.0f} MB")

    @override
    def on_work(self, title: str, done: int, total: int) -> None:
        if self._lines and done == total:
            print_note(f"{title} {done:,}/{total:,}")
