"""Printing: results to stdout; progress, notes and errors to stderr."""

import json
import math
import shlex
import sys
from contextlib import contextmanager
from datetime import timedelta
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from rich import progress as bars
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text
from typing_extensions import override

from lesionwise.execution import Execution
from lesionwise.progress import Progress
from lesionwise.wording import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    from lesionwise.evaluation.calibration.check import CalibrationCheck
    from lesionwise.evaluation.scores.evaluate import Evaluation

_RESUMED: Final = ("run", "train", "predict")  # others go on by themselves
_FAST: Final = 10.0  # images a second
_LINE_EVERY_S: Final = 10.0  # in a log
_SPEED_OF_S: Final = 3600.0  # the last seconds that a speed is the mean of
_LISTED: Final = 20  # files that could not be read and are named
_folder: "Path | None" = None
_as_json = False
_out = Console(highlight=False, soft_wrap=True, emoji=False)
_notes = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)
_errors = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)


def prints_json() -> bool:
    """Return whether results are printed as JSON."""
    return _as_json


def print_result(text: RenderableType, value: Any = None) -> None:  # noqa: ANN401 (any JSON value)
    """Print a result: the text or table, or with `--json` the value, if there is one."""
    if _as_json and value is not None:
        _out.print(json.dumps(value, indent=2, ensure_ascii=False), markup=False)
    else:
        _out.print(text, markup=False)


def print_note(*lines: str) -> None:
    """Print what a user may want to know, unless `--quiet` was given."""
    for line in lines:
        _notes.print(line, markup=False)


def fact_table(facts: "Mapping[str, str]", **options: Any) -> Table:  # noqa: ANN401 (as rich takes them)
    """Return a table with a row for each fact: its name, and its text."""
    table = Table(box=None, pad_edge=False, show_header=False, **options)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in facts.items():
        table.add_row(name, Text(text))
    return table


def print_columns(path: "Path", used: "Collection[str]") -> None:
    """Print which columns of a table are used and which are not; `used` may spell them as we do."""
    from lesionwise.tables import describe_columns

    print_note(describe_columns(path, used))


def describe_left_out(faults: "Sequence[Sequence[str]]") -> list[str]:
    """Return lines on the files that could not be read, each an image id, a path and a reason."""
    lines = [f"{counted(len(faults), 'file was', 'files were')} left out:"] if faults else []
    lines += [f"  {path}: {reason}" for _, path, reason in faults[:_LISTED]]
    return lines + ([f"  … and {len(faults) - _LISTED} more"] if len(faults) > _LISTED else [])


def left_out_json(faults: "Sequence[Sequence[str]]") -> list[dict[str, str]]:
    """Return all these files as JSON."""
    return [dict(zip(("image_id", "path", "reason"), fault, strict=True)) for fault in faults]


def print_warning(text: str) -> None:
    """Print what a user must know, even with `--quiet`."""
    _errors.print(text, markup=False)


def print_error(text: str) -> None:
    """Print why a command ends."""
    print_warning(f"Error: {text}")


def be_quiet(wanted: bool = True) -> bool:  # noqa: FBT001 (typer calls it so, for each command)
    """Print no notes and no progress if that is wanted, and return whether it is."""
    _notes.quiet = wanted
    return wanted


def is_quiet() -> bool:
    """Return whether notes and progress are left out."""
    return _notes.quiet


def give_json(wanted: bool = True) -> bool:  # noqa: FBT001 (the same)
    """Print results as JSON if that is wanted, and return whether it is."""
    global _as_json  # noqa: PLW0603 (one command a process)
    _as_json = wanted
    return wanted


def remember_folder(path: "Path") -> None:
    """Keep in mind which folder a command chose, for the message of one that is stopped."""
    global _folder  # noqa: PLW0603 (one command a process)
    _folder = path


def print_stopped() -> None:
    """Print where a command was stopped, and the command that goes on."""
    words, where = sys.argv[1:], ""
    has_out = any(word.partition("=")[0] == "--out" for word in words)
    if _folder is not None:
        where = f" What was finished is kept in {_folder}."
        words += [] if has_out else ["--out", str(_folder)]
    if words[:1] == ["predict"] and not has_out:
        where = " Nothing is kept without --out; with it, you can resume."
        words += ["--out", "predictions.csv"]
    elif words and words[0] in _RESUMED and "--resume" not in words:
        words.append("--resume")
    print_error(
        f"Stopped. Half-written files are not used.{where} To go on: {shlex.join(['lesionwise', *words])}"
    )


class CountColumn(bars.ProgressColumn):
    """Images that are done, or the bytes of a file."""

    def render(self, task: bars.Task) -> Text:
        """Return how much is done and how much there is."""
        column = bars.DownloadColumn() if task.fields.get("bytes") else bars.MofNCompleteColumn()
        return column.render(task)


class SpeedColumn(bars.ProgressColumn):
    """Images per second, where images are counted and once there is something to divide by."""

    def render(self, task: bars.Task) -> Text:
        """Return the speed, or nothing yet."""
        return Text(_speed(task.speed) if task.speed and task.fields.get("images") else "")


class Display(Progress):
    """What a long command shows: moving bars on a terminal, a line every ten seconds in a log."""

    def __init__(self, *, quiet: bool = False, clock: "Callable[[], float]" = monotonic) -> None:
        self.quiet = quiet or _notes.quiet
        self._clock = clock
        self._bar = bars.Progress(
            bars.TextColumn("{task.description}"),
            bars.BarColumn(),
            CountColumn(),
            SpeedColumn(),
            bars.TimeRemainingColumn(),
            console=_notes,
            disable=self.quiet or not _notes.is_terminal,
            transient=True,
            get_time=clock,
            speed_estimate_period=_SPEED_OF_S,
        )
        self._shown: set[str] = set()
        self._tasks: dict[str, bars.TaskID] = {}
        self._stage: bars.TaskID | None = None
        self._printed = clock()
        self._epochs = 0
        self._epoch_s = 0.0
        self._tenths: dict[str, int] = {}

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    @override
    def on_run(self, title: str) -> None:
        self._print(title)

    @override
    def on_data(self, about: "Sequence[str]") -> None:
        self._print(*(line for line in about if line not in self._shown))
        self._shown.update(about)  # every fold reads the same data

    @override
    def on_stage(self, title: str, number: int, total: int) -> None:
        if self._stage is None or number == 1:
            self._stage = self._bar.add_task(title)
        self._bar.update(self._stage, description=title, completed=number - 1, total=total)
        elapsed = self._task(self._stage).elapsed
        left = f", {_left(elapsed * (total - number + 1) / (number - 1))}" if elapsed and number > 1 else ""
        self._print_line(f"{title} ({number} of {total}{left})")

    @override
    def on_work(self, title: str, done: int, total: int) -> None:
        speed = self._move(title, done, total)
        left = f"  {_speed(speed)}  {_left((total - done) / speed)}" if speed and done < total else ""
        if done >= total or self._is_due():
            self._print_line(f"{title} {done:,}/{total:,}{left}")

    @override
    def on_bytes(self, name: str, done: int, total: int) -> None:
        if name not in self._tasks:
            self._tasks[name] = self._bar.add_task(name, bytes=True)
        self._bar.update(self._tasks[name], completed=done, total=total or None)
        tenth = done * 10 // total if total else 0
        if tenth > self._tenths.get(name, 0):
            self._tenths[name] = tenth
            self._print_line(f"{name} {done / 1e6:,.0f} of {total / 1e6:,.0f} MB")

    @override
    def on_training(self, epochs: int) -> None:
        self._epochs, self._epoch_s = epochs, 0.0

    @override
    def on_step(self, epoch: int, done: int, total: int) -> None:
        title = f"epoch {epoch + 1}" + (f" of {self._epochs}" if self._epochs else "")
        speed = self._move(title, done, total)
        if speed and self._is_due():
            seconds = (total - done) / speed
            seconds += max(0, self._epochs - epoch - 1) * (self._epoch_s or total / speed)
            self._print_line(
                f"{title}  {done:,}/{counted(total, 'image')}  {_speed(speed)}  {_left(seconds)}"
            )

    @override
    def on_epoch(self, row: dict[str, float]) -> None:
        watched = (
            ""
            if math.isnan(row["val_loss"])  # a recipe with train_on_val
            else f"val loss {row['val_loss']:.3f}  accuracy {row['val_accuracy']:.3f}  "
            f"balanced accuracy {row['val_balanced_accuracy']:.3f}  "
        )
        self._epoch_s = row.get("seconds", 0.0)
        seconds = max(0.0, self._epochs - row["epoch"] - 1) * self._epoch_s
        left = f"  {_left(seconds)}" if seconds > 0 else ""
        self._print(
            f"epoch {row['epoch'] + 1:.0f}  loss {row['train_loss']:.3f}  {watched}"
            f"{row['images_per_second']:.0f} images/s{left}"
        )

    def _is_due(self) -> bool:
        """Return whether a log has waited long enough for a line."""
        return self._clock() - self._printed >= _LINE_EVERY_S

    def _print_line(self, text: str) -> None:
        """Print a line where no bar moves."""
        if not _notes.is_terminal:
            self._print(text)

    def _print(self, *lines: str) -> None:
        if not self.quiet:
            print_note(*lines)
        self._printed = self._clock()

    def _move(self, title: str, done: int, total: int) -> float:
        """Show the piece of work that is in progress, and return its images per second; 0 at the start."""
        if title not in self._tasks:
            for task in self._tasks.values():
                self._bar.remove_task(task)
            self._tasks = {title: self._bar.add_task(title, images=True)}
        self._bar.update(self._tasks[title], completed=done, total=total)
        return self._task(self._tasks[title]).speed or 0.0

    def _task(self, name: bars.TaskID) -> bars.Task:
        return next(task for task in self._bar.tasks if task.id == name)


@contextmanager
def show_work(
    device: str = "auto", *, workers: int | None = None, engine: Literal["local", "ray"] = "local"
) -> "Iterator[Execution]":
    """Give the settings that a piece of work runs with, and show its progress."""
    with Display() as display:
        yield Execution(device, workers=workers, engine=engine, progress=display)


def _speed(each_second: float) -> str:
    """Return a speed; a slow one with a digit behind the point."""
    return f"{each_second:.{0 if each_second >= _FAST else 1}f} images/s"


def _left(seconds: float) -> str:
    """Return how long the rest takes if the speed stays as it is, as hours, minutes and seconds."""
    return f"about {timedelta(seconds=round(seconds))} left"


def describe_evaluation(evaluation: "Evaluation", title: str, *, judged: bool = True) -> str:
    """Return recall by diagnosis, the main scores, the baseline and, if `judged`, a verdict."""
    from lesionwise.labels import CODES

    counts = f"{counted(evaluation.images, 'image')} of {counted(evaluation.lesions, 'lesion')}"
    lines = [f"{title}: {counts} (95 % intervals by {evaluation.resampled_by})", "  recall"]
    for code in ("mel", *(code for code in CODES if code != "mel")):
        index, images = CODES.index(code), evaluation.support[code]
        recall = evaluation.per_class[code].get("recall")
        found = (
            f"{recall!s:25}   {evaluation.confusion[index][index]:,} of {counted(images, 'image')}"
            if recall
            else ""
        )
        lines.append(f"    {code:21} {found or 'no image shows it'}")
    width = max(30, *(len(evaluation.title(name)) for name in evaluation.overall))
    lines.append(f"  {'':{width}} {'':18}   knowing only how common each diagnosis is")
    for name, estimate in evaluation.overall.items():
        lines.append(f"  {evaluation.title(name):{width}} {estimate!s:25}   {evaluation.baseline[name]:.3f}")
    single = [code for code, images in evaluation.support.items() if images == 1]
    if single:
        lines.append(
            f"There is only one image each of {', '.join(single)}. One lesion cannot be resampled, so the "
            "intervals of scores over all images are too narrow."
        )
    if evaluation.undefined:
        named = ", ".join(name.replace("_", " ") for name in evaluation.undefined)
        lines.append(f"Not defined for these images: {named}.")
    return "\n".join([*lines, verdict_on(evaluation)] if judged else lines)


def verdict_on(evaluation: "Evaluation", part: str = "") -> str:
    """Return whether a model beats the commonest diagnosis, and how many melanomas it misses."""
    name = "balanced_accuracy"
    score, floor = evaluation.overall[name], evaluation.baseline[name]
    better = "better than" if score.low > floor else "not clearly better than"
    always = f"by {evaluation.title(name)} the model is {better} always giving the commonest diagnosis"
    recall, support = evaluation.per_class["mel"].get("recall"), evaluation.support["mel"]
    if recall is None:
        melanomas = "no image shows a melanoma"
    else:
        missed = round(support * (1 - recall.value))
        melanomas = f"it misses {missed:,} of {counted(support, 'melanoma image')}"
    return f"Verdict{part and f' on {part}'}: {always} ({score} against {floor:.3f}); {melanomas}."


def describe_check(check: "CalibrationCheck") -> str:
    """Return what calibration was worth as lines of text."""
    lines = ["calibration, fitted on cal:"]
    for name, after in check.after.items():
        lines.append(f"  {name.replace('_', ' '):23} {check.before[name]} before, {after} after")
    band = f"{check.band.low:.3f} to {check.band.high:.3f}"
    lines.append(
        f"  {'plain ece':23} {check.band.value:.3f}, {check.band.verdict} the band of a perfectly calibrated "
        f"model ({band})"
    )
    lines += [
        f"  {'sets, ' + row['diagnosis']:23} {row['covered']} of {counted(row['lesions'], 'lesion')} "
        f"covered ({row['coverage']:.3f}; {row['low']:.3f} to {row['high']:.3f} if the promise is just kept)"
        for row in check.coverage
    ]
    for point in check.points:
        found = ", ".join(
            f"{name} {estimate['value']:.2f} ({estimate['low']:.2f} to {estimate['high']:.2f})"
            for name, estimate in point["found"].items()
        )
        wished = f"{point['aim']} {point['at_least']:g}"
        lines.append(f"  {point['question']:9} {wished:17} {found or 'no threshold, too few lesions in cal'}")
    return "\n".join(lines)
