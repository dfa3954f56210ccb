"""Showing a download: bytes as they come in, images as they are unpacked."""

from typing import Self

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from lesionwise.cli.console import print_note

_TENTHS = 10


class TransferDisplay:
    """A moving bar for each file on a terminal, a line at each tenth in a log.

    Args:
        quiet: Show nothing.
    """

    def __init__(self, *, quiet: bool) -> None:
        console = Console(stderr=True)
        self._lines = not quiet and not console.is_terminal
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=quiet or not console.is_terminal,
            transient=True,
        )
        self._tasks: dict[str, TaskID] = {}
        self._shown: dict[str, int] = {}

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def on_bytes(self, name: str, have: int, total: int) -> None:
        """Show how much of a file is there."""
        if name not in self._tasks:
            self._tasks[name] = self._bar.add_task(name)
        self._bar.update(self._tasks[name], completed=have, total=total or None)
        tenth = have * _TENTHS // total if total else 0
        if self._lines and tenth > self._shown.get(name, 0):
            self._shown[name] = tenth
            print_note(f"{name} {have / 1e6:,.0f} of {total / 1e6:,.0f} MB")

    def on_image(self, done: int, total: int) -> None:
        """Show how many images were unpacked."""
        if self._lines and done == total:
            print_note(f"unpacked {total:,} images")
