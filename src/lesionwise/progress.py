"""Progress of a long piece of work. Drawing it is the command line's job (`cli.console`)."""

from collections.abc import Sequence
from typing import Final


class Progress:
    """Receives reports of progress and ignores them. Subclass it and override what you want to see."""

    def on_run(self, title: str) -> None:
        """Receive the title of a run, such as "fold 2 of 1, 2, 3", where one command makes several."""

    def on_data(self, about: Sequence[str]) -> None:
        """Receive what a user should know of the data that is read, in sentences."""

    def on_work(self, title: str, done: int, total: int) -> None:
        """Receive how many images of a piece of work, such as "reading images", are done."""

    def on_bytes(self, name: str, done: int, total: int) -> None:
        """Receive how many bytes of a file are there; `total` is 0 if the server does not say."""

    def on_stage(self, title: str, number: int, total: int) -> None:
        """Receive which stage of a piece of work starts: its title, and its number from 1."""

    def on_training(self, epochs: int) -> None:
        """Receive that a training starts or continues, and the number of its epochs; it may stop before."""

    def on_step(self, epoch: int, done: int, total: int) -> None:
        """Receive how many images of an epoch, counted from 0, are done."""

    def on_epoch(self, row: dict[str, float]) -> None:
        """Receive the row that a finished epoch adds to the history. `row`: as in `history.csv`."""


class Stages:
    """Reports the stages of a piece of work, which has a known number of them."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress = progress
        self._number = 0
        self._total = total

    def begin(self, title: str) -> None:
        """Report that the next stage starts."""
        self._number += 1
        self._progress.on_stage(title, self._number, self._total)


SILENT: Final = Progress()
"""Reports nothing."""
