"""Progress of a long piece of work. Drawing it is the command line's job (`cli.console`)."""

from collections.abc import Sequence
from typing import Final


class Progress:
    """Receives reports of progress and ignores them. Subclass it and override what you want to see."""

    def on_run(self, title: str) -> None:
        """Receive the title of a run that starts or continues, where one command makes several.

        Args:
            title: Such as "fold 2 of 1, 2, 3".
        """

    def on_data(self, about: Sequence[str]) -> None:
        """Receive what a user should know of the data that is read, such as the columns that are used.

        Args:
            about: Sentences.
        """

    def on_work(self, title: str, done: int, total: int) -> None:
        """Receive how much of some work on images is done.

        Args:
            title: What is done, such as "reading images".
            done: Number of images that are done.
            total: Number of all images.
        """

    def on_bytes(self, name: str, done: int, total: int) -> None:
        """Receive how much of a file is downloaded.

        Args:
            name: Name of the file.
            done: Number of bytes that are there.
            total: Number of all bytes; 0 if the server does not say.
        """

    def on_stage(self, title: str, number: int, total: int) -> None:
        """Receive which stage of a piece of work starts.

        Args:
            title: What is done now, such as "writing the graph".
            number: Number of the stage, from 1.
            total: Number of all stages.
        """

    def on_training(self, epochs: int) -> None:
        """Receive that a training starts or continues.

        Args:
            epochs: Number of all its epochs; it may stop before.
        """

    def on_step(self, epoch: int, done: int, total: int) -> None:
        """Receive how much of an epoch is done.

        Args:
            epoch: Number of the epoch, from 0.
            done: Number of images that are done.
            total: Number of images in the epoch.
        """

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
