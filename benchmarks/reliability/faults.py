"""Damaged files, kills, full disks and two at once: what must not become half an answer.

    python benchmarks/reliability/faults.py IMAGES [--pictures 100] [--kills 10] [--seed 0] [--only NAME ...]
                                                   [--commands NAME ...] [--drawn DIR]

IMAGES is a folder with JPEGs, of which some are damaged; trainings run on drawn images, which `--drawn` keeps
for another call, with a run and its model. `--kills` counts for
each of the five commands. Full disks and the read-only disk are small tmpfs mounts, for which the script must
be root on Linux; elsewhere those rows say why they are missing. The exit code is 1 if a row does not hold.
Rows are Markdown, for a result file.

A command that is killed is a process of its own, forked from this one after the slow imports: so a random
moment falls into its work and not into `import torch`. All others are started as a user starts them.
"""

import argparse
import io
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

import numpy as np
from PIL import Image

from lesionwise import cli
from lesionwise.data.images import read_image
from lesionwise.errors import ImageError

SIZE = (225, 300)
BLOCK = 4096
TIME_S = 900
DISKS = {"cache": "8m", "predict": "8k", "export": "300k", "train": "3m", "cross-validate": "3m"}
SIDES = ("image_size", "train_size", "eval_size")
RECIPE = ("--set", "epochs=3", *(word for side in SIDES for word in ("--set", f"{side}=[48, 64]")))
OPEN_CACHE = """
import sys
from pathlib import Path
from lesionwise.data import cache, dataset
from lesionwise.execution import Execution
cache.CHUNK = 16
made = cache.open_cache(dataset.read_dataset(Path(sys.argv[1])), (225, 300),
                        execution=Execution(cache_root=Path(sys.argv[2])))
print(made.path)
"""


@dataclass
class Faults:
    """What was tried, and what came of it.

    Attributes:
        images: Real JPEGs.
        work: A folder for everything.
        drawn: A folder for drawn images, a run and its model.
        pictures: How many of each damage.
        kills: How many of each command.
        commands: Names of those that are killed, or get a full disk.
        chance: Where all draws come from.
        failed: Rows that do not hold.
    """

    images: list[Path]
    work: Path
    drawn: Path
    pictures: int
    kills: int
    commands: list[str]
    chance: random.Random
    failed: list[str] = field(default_factory=list)

    @property
    def data(self) -> Path:
        return self.drawn / "data"

    @property
    def run(self) -> Path:
        return self.drawn / "run"

    @property
    def model(self) -> Path:
        return self.drawn / "model.onnx"

    def row(self, what: str, tried: object, found: str, *, holds: bool) -> None:
        if not holds:
            self.failed.append(what)
        print(f"| {what} | {tried} | {found} | {'yes' if holds else 'NO'} |", flush=True)


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "lesionwise", *map(str, words)]


def finish(words: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=TIME_S)


def must(words: list[str]) -> float:
    started = time.perf_counter()
    done = finish(words)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)}\n{done.stdout}{done.stderr}")
    return time.perf_counter() - started


def draw_and_train(data: Path, run: Path, model: Path) -> None:
    """Draw images, train a tiny model on them once, and export it."""
    must(command("data", "phantom", data, "--lesions", 24, "--seed", 3))
    must(train(data, run))
    must(command("bundle", "export", run, "--out", model))


def train(data: Path, out: Path, *more: str) -> list[str]:
    return command("train", "small", "--data", data, "--out", out, *RECIPE, "--quiet", *more)


# Damaged pictures


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


FORMATS: dict[str, Callable[[Path], bytes]] = {
    "JPEG": Path.read_bytes,
    "progressive JPEG": lambda p: encode(Image.open(p), "JPEG", quality=90, progressive=True),
    "PNG": lambda p: encode(Image.open(p), "PNG"),
    "WebP": lambda p: encode(Image.open(p), "WEBP", quality=90),
    "lossless WebP": lambda p: encode(Image.open(p), "WEBP", lossless=True, method=0),
    "AVIF": lambda p: encode(Image.open(p), "AVIF", quality=90, speed=9),
    "TIFF, deflated": lambda p: encode(Image.open(p), "TIFF", compression="tiff_adobe_deflate"),
    "TIFF, JPEG inside": lambda p: encode(Image.open(p), "TIFF", compression="jpeg"),
    "TIFF, LZW": lambda p: encode(Image.open(p), "TIFF", compression="tiff_lzw"),
    "TIFF, uncompressed": lambda p: encode(Image.open(p), "TIFF"),
    "BMP": lambda p: encode(Image.open(p), "BMP"),
}
DAMAGES: dict[str, Callable[[bytes, int], bytes]] = {
    "4 KB cut out": lambda c, at: c[:at] + c[at + BLOCK :],
    "4 KB zeroed": lambda c, at: c[:at] + bytes(BLOCK) + c[at + BLOCK :],
    "second half gone, end kept": lambda c, _: c[: len(c) // 2] + c[-2:],
    "truncated": lambda c, at: c[:at],
    "one bit flipped": lambda c, at: c[:at] + bytes([c[at] ^ 1]) + c[at + 1 :],
}
# Nothing in these files contradicts the damage: pixels without a checksum, and codes that still decode.
UNSEEN = {
    *(("TIFF, uncompressed", "4 KB zeroed"), ("BMP", "4 KB zeroed")),
    *((name, "one bit flipped") for name in FORMATS if name not in {"PNG", "TIFF, deflated"}),
}


def passes(content: bytes) -> bool:
    try:
        read_image(content, SIZE)
    except ImageError:
        return False
    return True


def damaged_pictures(faults: Faults) -> None:
    warnings.simplefilter("ignore")  # Pillow's, about TIFFs
    chosen = faults.chance.sample(faults.images, faults.pictures)
    for name, make in FORMATS.items():
        contents = [make(path) for path in chosen]
        whole = sum(map(passes, contents))
        faults.row(f"{name}, whole", len(contents), f"{whole} read", holds=whole == len(contents))
        for damage, harm in DAMAGES.items():
            places = [faults.chance.randrange(1000, len(c) - BLOCK - 30) for c in contents]
            passed = sum(passes(harm(c, at)) for c, at in zip(contents, places, strict=True))
            unseen = (name, damage) in UNSEEN
            text = f"{passed} taken for whole" + (" (cannot be seen in the file)" if unseen else "")
            faults.row(f"{name}, {damage}", len(contents), text, holds=unseen or not passed)


# Kills


@dataclass(frozen=True)
class Job:
    """A command that is killed.

    Attributes:
        name: Of it.
        start: The command for a place.
        resume: The one that goes on.
        same: Whether what lies at the place is what an unbroken command leaves.
    """

    name: str
    start: Callable[[Path], list[str]]
    resume: Callable[[Path], list[str]]
    same: Callable[[Path, Path], bool]


def jobs(faults: Faults) -> list[Job]:
    def cross(out: Path) -> list[str]:
        words = ("--out", out, "--folds", 2, *RECIPE, "--quiet")
        return command("cross-validate", "small", "--data", faults.data, *words)

    def predict(out: Path, *more: str) -> list[str]:
        return command("predict", faults.data, "--model", faults.model, "--out", out, "--quiet", *more)

    def cache(out: Path) -> list[str]:
        return [sys.executable, "-c", OPEN_CACHE, str(faults.data), str(out)]

    def export(out: Path) -> list[str]:
        return command("bundle", "export", faults.run, "--out", out)

    return [
        Job("cache", cache, cache, same_cache),
        Job("predict", predict, lambda out: predict(out, "--resume"), same_rows),
        Job("export", export, export, same_answers(faults)),
        Job(
            "train",
            lambda out: train(faults.data, out),
            lambda out: train(faults.data, out, "--resume"),
            same_run,
        ),
        Job("cross-validate", cross, cross, same_folds),
    ]


def chosen_jobs(faults: Faults) -> list[Job]:
    known = {job.name: job for job in jobs(faults)}
    return [known[name] for name in faults.commands]


def same_cache(one: Path, other: Path) -> bool:
    (a,), (b,) = (list(root.glob("*/pixels.npy")) for root in (one, other))
    return a.read_bytes() == b.read_bytes()


def same_rows(one: Path, other: Path) -> bool:
    rows = [path.read_text().splitlines() for path in (one, other)]
    return sorted(rows[0]) == sorted(rows[1]) and len(set(rows[1])) == len(rows[1])


def same_answers(faults: Faults) -> Callable[[Path, Path], bool]:
    def same(one: Path, other: Path) -> bool:
        from lesionwise.bundle.engine import load_model  # noqa: PLC0415

        image = next(faults.data.rglob("*.jpg"))
        said = [load_model(path, threads=1).predict(image).probabilities for path in (one, other)]
        return bool(np.array_equal(*said))

    return same


def same_run(one: Path, other: Path) -> bool:
    import torch  # noqa: PLC0415

    for name in ("best.ckpt", "last.ckpt"):
        a, b = (
            torch.load(run / "checkpoints" / name, weights_only=True)["state_dict"] for run in (one, other)
        )
        if not all(torch.equal(a[key], b[key]) for key in a):
            return False
    names = ("predictions-val.csv", "predictions-cal.csv", "calibration.json")
    return all((one / name).read_bytes() == (other / name).read_bytes() for name in names)


def same_folds(one: Path, other: Path) -> bool:
    names = ("predictions-out-of-fold.csv", "folds.csv")
    return all((one / name).read_bytes() == (other / name).read_bytes() for name in names)


def killed_commands(faults: Faults) -> None:
    import_slowly()
    for job in chosen_jobs(faults):
        whole = faults.work / f"{job.name}-whole"
        started = time.monotonic()
        if code := run_forked(job.start(whole), whole.with_suffix(".log")):
            raise SystemExit(f"{job.name} ended with {code}: {whole.with_suffix('.log').read_text()}")
        seconds = time.monotonic() - started
        good = [survives_kill(faults, job, whole, number, seconds) for number in range(faults.kills)]
        found = f"{sum(good)} went on to the result of the unbroken one ({seconds:.1f} s)"
        faults.row(f"kill -9 of {job.name}", len(good), found, holds=all(good))


def survives_kill(faults: Faults, job: Job, whole: Path, number: int, seconds: float) -> bool:
    """Kill a command at a random moment, continue it, and compare what came of it with the unbroken one."""
    out = faults.work / f"{job.name}-{number}"
    log = out.with_suffix(".log")
    while run_forked(job.start(out), log, faults.chance.uniform(0, seconds)) != -signal.SIGKILL:
        remove(out)  # it ended before its moment came
    good = run_forked(job.resume(out), log) == 0
    if good:
        good = forked(lambda: 0 if job.same(whole, out) else 1, log) == 0
    if not good:
        print(log.read_text(), file=sys.stderr)
    remove(out)
    return good


def import_slowly() -> None:
    """Import what the commands import, before one is forked. Nothing is run: a fork keeps no threads."""
    for name in ("cli.app", "training.run", "experiments.crossval", "export.run", "predict.files"):
        import_module(f"lesionwise.{name}")
    for name in ("lightning", "timm", "openvino", "onnx"):
        import_module(name)


def forked(work: Callable[[], object], log: Path, seconds: float = TIME_S) -> int:
    """Do something in a process of its own, kill it after some seconds, and return its exit code."""
    child = os.fork()
    if not child:
        code: object = 1
        try:
            with log.open("w") as file:
                os.dup2(file.fileno(), 1)
                os.dup2(file.fileno(), 2)
            code = work()
        except SystemExit as ended:
            code = ended.code
        except BaseException:  # noqa: BLE001 (shown in the log)
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code if isinstance(code, int) else 0 if code is None else 1)
    end = time.monotonic() + seconds
    while not (found := os.waitpid(child, os.WNOHANG))[0]:
        if time.monotonic() >= end:
            os.kill(child, signal.SIGKILL)
            found = os.waitpid(child, 0)
            break
        time.sleep(0.002)
    return os.waitstatus_to_exitcode(found[1])


def run_forked(words: list[str], log: Path, seconds: float = TIME_S) -> int:
    """Run a command as `command` writes it, or Python code, in a fork, and return its exit code."""

    def work() -> object:
        sys.argv = words[2:]
        if words[1] == "-c":
            exec(words[2], {"__name__": "__main__"})  # noqa: S102 (of this file)
        else:
            cli.main()
        return 0

    return forked(work, log, seconds)


def remove(out: Path) -> None:
    for path in out.parent.glob(f"*{out.name}*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


# Disks


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    folder.mkdir()
    as_root("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder)
    try:
        yield
    finally:
        as_root("umount", folder)


def as_root(*words: str | Path) -> None:
    subprocess.run(words, check=True)


def full_disks(faults: Faults) -> None:
    for job in chosen_jobs(faults):
        whole = faults.work / f"{job.name}-whole"
        if not whole.exists():
            must(job.start(whole))
        disk = faults.work / f"{job.name}-disk"
        try:
            with small_disk(disk, DISKS[job.name]):
                done = finish(job.start(disk / "out"))
                # The cache is made by a script of this file, which shows the system's own words.
                words = "No space left on device: " if job.name == "cache" else "is full"
                refused = done.returncode > 0 and words in done.stderr and str(disk) in done.stderr
                as_root("mount", "-o", "remount,size=200m", disk)
                again = finish(job.resume(disk / "out"))
                same = again.returncode == 0 and job.same(whole, disk / "out")
        except (subprocess.CalledProcessError, OSError) as error:
            print(f"| full disk: {job.name} | 0 | skipped, mounting is not possible here: {error} | - |")
            continue
        if not (refused and same):
            print(done.returncode, done.stderr[-600:], again.stderr[-600:], file=sys.stderr)
        found = f"{'named' if refused else 'not named'}; with room {'the same' if same else 'another'} result"
        faults.row(f"full disk: {job.name}", DISKS[job.name], found, holds=refused and same)


def read_only_cache(faults: Faults) -> None:
    disk = faults.work / "read-only"
    words = [sys.executable, "-c", OPEN_CACHE, str(faults.data), str(disk)]
    try:
        with small_disk(disk, "200m"):
            must(words)
            as_root("mount", "-o", "remount,ro", disk)
            opened = finish(words).returncode == 0
    except (subprocess.CalledProcessError, OSError) as error:
        print(f"| whole cache on a read-only disk | 0 | skipped: {error} | - |")
        return
    faults.row("whole cache on a read-only disk", 1, "opened" if opened else "refused", holds=opened)


def two_at_once(faults: Faults) -> None:
    predict = jobs(faults)[1]
    whole = faults.work / "predict-whole"
    if not whole.exists():
        must(predict.start(whole))
    out = faults.work / "two.csv"
    started = [
        subprocess.Popen(predict.resume(out), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        for _ in range(3)
    ]
    ended = [(process.communicate()[1], process.returncode) for process in started]
    clear = all(code == 0 or "another process is writing it" in said for said, code in ended)
    holds = clear and any(code == 0 for _, code in ended) and same_rows(whole, out)
    found = f"exit codes {sorted(code for _, code in ended)}; no row twice" if holds else str(ended)
    faults.row("predict --resume three times at once", 3, found, holds=holds)


PARTS: dict[str, Callable[[Faults], None]] = {
    "pictures": damaged_pictures,
    "kills": killed_commands,
    "two": two_at_once,
    "disks": full_disks,
    "read-only": read_only_cache,
}


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("images", type=Path)
    options.add_argument("--pictures", type=int, default=100)
    options.add_argument("--kills", type=int, default=10, help="of each command")
    options.add_argument("--drawn", type=Path)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--only", nargs="*", choices=PARTS, default=list(PARTS))
    options.add_argument("--commands", nargs="*", choices=DISKS, default=list(DISKS))
    given = options.parse_args()
    work = Path(tempfile.mkdtemp(prefix="faults-"))
    os.environ["LESIONWISE_CACHE"] = str(work / "images")
    try:
        chance = random.Random(given.seed)  # noqa: S311 (no secret)
        images = sorted(given.images.rglob("*.jpg"))
        drawn = given.drawn or work / "drawn"
        faults = Faults(images, work, drawn, given.pictures, given.kills, given.commands, chance)
        print("| what | tried | found | holds |\n|---|--:|---|---|", flush=True)
        if set(given.only) - {"pictures"} and not faults.model.exists():
            draw_and_train(faults.data, faults.run, faults.model)
        for name in given.only:
            PARTS[name](faults)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    sys.exit(1 if faults.failed else 0)


if __name__ == "__main__":
    main()
