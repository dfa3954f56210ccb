import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from conftest import NotedProgress, WriteKaggle
from lesionwise.arrays import Pixels
from lesionwise.data import cache as cache_module
from lesionwise.data.cache import data_fingerprint, open_cache
from lesionwise.data.dataset import Dataset, read_dataset
from lesionwise.data.images import read_image
from lesionwise.errors import DataError, FindingsError
from lesionwise.execution import Execution

SIZE = (24, 32)


def counted(decoded: list[bytes]) -> Callable[..., Pixels]:
    """Return `read_image` that notes what it decodes."""

    def read(source: bytes, size: tuple[int, int], *, steps: tuple[str, ...]) -> Pixels:
        decoded.append(source)
        return read_image(source, size, steps=steps)

    return read


def test_rows_are_exactly_what_read_image_gives(drawn: Dataset) -> None:
    cache = open_cache(drawn, SIZE)
    assert cache.pixels.shape == (len(drawn.table), *SIZE, 3)
    for row in (0, 7, len(drawn.table) - 1):
        assert np.array_equal(cache.pixels[row], read_image(drawn.paths[row], SIZE))


def test_a_whole_cache_is_never_decoded_again(drawn: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    first = open_cache(drawn, SIZE)
    monkeypatch.setattr(cache_module, "read_image", lambda *_: pytest.fail("decoded again"))
    again = open_cache(drawn, SIZE)
    assert again.fingerprint == first.fingerprint
    assert np.array_equal(again.pixels, first.pixels)


def test_the_number_of_workers_changes_nothing(drawn: Dataset, tmp_path: Path) -> None:
    one, four = (
        open_cache(drawn, SIZE, execution=Execution(cache_root=tmp_path / str(n), workers=n)) for n in (1, 4)
    )
    assert np.array_equal(one.pixels, four.pixels)
    assert one.fingerprint == four.fingerprint


def test_the_fingerprint_follows_the_content_and_not_the_place(
    tmp_path: Path, write_kaggle: WriteKaggle
) -> None:
    a, b = (read_dataset(write_kaggle(tmp_path / name)) for name in ("a", "b"))
    assert open_cache(a, SIZE).fingerprint == open_cache(b, SIZE).fingerprint
    changed = b.paths[3]
    changed.write_bytes(b.paths[4].read_bytes())
    assert open_cache(read_dataset(b.folder), SIZE).fingerprint != open_cache(a, SIZE).fingerprint


def test_a_changed_file_leads_to_another_cache(tmp_path: Path, write_kaggle: WriteKaggle) -> None:
    dataset = read_dataset(write_kaggle(tmp_path / "a"))
    before = open_cache(dataset, SIZE)
    dataset.paths[0].write_bytes(dataset.paths[1].read_bytes())
    after = open_cache(dataset, SIZE)
    assert after.path != before.path
    assert np.array_equal(after.pixels[0], before.pixels[1])


def test_unreadable_images_are_all_named_and_the_rest_is_kept(
    tmp_path: Path, write_kaggle: WriteKaggle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_module, "CHUNK", 16)
    dataset = read_dataset(write_kaggle(tmp_path / "a"))
    good = {row: dataset.paths[row].read_bytes() for row in (2, 40)}
    status = {row: dataset.paths[row].stat() for row in good}
    for row, content in good.items():
        dataset.paths[row].write_bytes(b"\xff\xd8\xff" + bytes(len(content) - 3))
        os.utime(dataset.paths[row], ns=(status[row].st_atime_ns, status[row].st_mtime_ns))
    with pytest.raises(FindingsError, match=r"D007.*2 images cannot be read") as caught:
        open_cache(dataset, SIZE)
    assert all(dataset.paths[row].stem in str(caught.value) for row in good)
    for row, content in good.items():
        dataset.paths[row].write_bytes(content)
        os.utime(dataset.paths[row], ns=(status[row].st_atime_ns, status[row].st_mtime_ns))
    decoded: list[bytes] = []
    monkeypatch.setattr(cache_module, "read_image", counted(decoded))
    mended = open_cache(dataset, SIZE)
    assert len(decoded) == 32  # the two chunks with a damaged image
    assert np.array_equal(mended.pixels[40], read_image(dataset.paths[40], SIZE))


def test_an_unreadable_image_is_named_where_only_the_fingerprint_is_wanted(
    tmp_path: Path, write_kaggle: WriteKaggle
) -> None:
    dataset = read_dataset(write_kaggle(tmp_path / "a", lesions=1))
    dataset.paths[3].unlink()
    dataset.paths[3].mkdir()
    with pytest.raises(DataError, match=f"a: {dataset.table['image_id'][3]} is not a regular file"):
        data_fingerprint(dataset, SIZE)


def test_progress_ends_at_the_number_of_images(drawn: Dataset) -> None:
    noted = NotedProgress()
    open_cache(drawn, SIZE, execution=Execution(progress=noted))
    assert noted.work[-1] == ("reading images", len(drawn.table), len(drawn.table))


KILLED = """
import sys, time
from pathlib import Path
from lesionwise.data import cache, dataset
from lesionwise.execution import Execution
cache.CHUNK = 16
read = cache.read_image
def slow(source, size, *, steps):
    time.sleep(0.01)
    return read(source, size, steps=steps)
cache.read_image = slow
execution = Execution(cache_root=sys.argv[2], workers=2)
cache.open_cache(dataset.read_dataset(Path(sys.argv[1])), (24, 32), execution=execution)
"""


def test_a_killed_build_goes_on_where_it_stopped_and_ends_right(
    drawn: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_module, "CHUNK", 16)
    root = tmp_path / "cache"
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(drawn.folder), str(root)])
    while not any(journal.read_text() for journal in root.glob("*/journal")):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not list(root.glob("*/pixels.npy"))
    kept = sum(len(journal.read_text().splitlines()) for journal in root.glob("*/journal"))
    decoded: list[bytes] = []
    monkeypatch.setattr(cache_module, "read_image", counted(decoded))
    resumed = open_cache(drawn, SIZE, execution=Execution(cache_root=root))
    assert len(decoded) == len(drawn.table) - 16 * kept
    assert np.array_equal(
        resumed.pixels, open_cache(drawn, SIZE, execution=Execution(cache_root=tmp_path / "fresh")).pixels
    )


@pytest.mark.parametrize("torn", [slice(None, -1), slice(None, -30), slice(None, 3)])
def test_a_torn_line_of_the_journal_costs_its_chunk_and_nothing_else(
    torn: slice, drawn: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_module, "CHUNK", 16)
    whole = open_cache(drawn, SIZE, execution=Execution(cache_root=tmp_path / "cache"))
    journal = whole.path / "journal"
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join([*lines[:2], lines[2][torn]]))
    (whole.path / "pixels.npy").rename(whole.path / "pixels.part")
    mended = open_cache(drawn, SIZE, execution=Execution(cache_root=tmp_path / "cache"))
    assert mended.fingerprint == whole.fingerprint
    assert np.array_equal(
        mended.pixels, open_cache(drawn, SIZE, execution=Execution(cache_root=tmp_path / "fresh")).pixels
    )


def flip_a_byte(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def zero_the_second_half(content: bytes) -> bytes:
    return content[: len(content) // 2] + bytes(len(content) - len(content) // 2)


def give_another_shape(content: bytes) -> bytes:
    return content.replace(b"24, 32, 3", b"32, 24, 3", 1)


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "a flipped bit": flip_a_byte,
    "a zeroed half": zero_the_second_half,
    "another shape": give_another_shape,
    "a cut": lambda content: content[:-100],
    "nothing": lambda _: b"",
    "other content": lambda content: b"no array" * (len(content) // 8),
}


@pytest.mark.parametrize("file", ["pixels.npy", "journal"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_cache_is_decoded_again_where_it_is_wrong(
    file: str, damage: str, drawn: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_module, "CHUNK", 16)
    whole = open_cache(drawn, SIZE, execution=Execution(cache_root=tmp_path / "cache"))
    expected = np.array(whole.pixels)
    path = whole.path / file
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    decoded: list[bytes] = []
    monkeypatch.setattr(cache_module, "read_image", counted(decoded))
    mended = open_cache(drawn, SIZE, execution=Execution(cache_root=tmp_path / "cache"))
    assert np.array_equal(mended.pixels, expected)
    assert mended.fingerprint == whole.fingerprint
    if damage == "a flipped bit":
        assert len(decoded) == 16


def test_a_lost_journal_costs_the_time_to_decode_and_nothing_else(drawn: Dataset, tmp_path: Path) -> None:
    whole = open_cache(drawn, SIZE, execution=Execution(cache_root=tmp_path / "cache"))
    expected = np.array(whole.pixels)
    (whole.path / "journal").unlink()
    mended = open_cache(drawn, SIZE, execution=Execution(cache_root=tmp_path / "cache"))
    assert np.array_equal(mended.pixels, expected)
    assert mended.fingerprint == whole.fingerprint


@pytest.mark.parametrize("damage", DAMAGES)
def test_the_pixels_of_a_stopped_build_are_compared_before_it_goes_on(
    damage: str, drawn: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_module, "CHUNK", 16)
    whole = open_cache(drawn, SIZE, execution=Execution(cache_root=tmp_path / "cache"))
    expected = np.array(whole.pixels)
    journal, pixels = whole.path / "journal", whole.path / "pixels.npy"
    journal.write_text("".join(journal.read_text().splitlines(keepends=True)[:-1]))
    (whole.path / "pixels.part").write_bytes(DAMAGES[damage](pixels.read_bytes()))
    pixels.unlink()
    assert np.array_equal(
        open_cache(drawn, SIZE, execution=Execution(cache_root=tmp_path / "cache")).pixels, expected
    )


def test_a_whole_cache_is_opened_without_a_lock_and_without_writing(
    drawn: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = open_cache(drawn, SIZE, execution=Execution(cache_root=tmp_path / "cache"))
    (whole.path / "lock").unlink(missing_ok=True)
    before = {path.name: path.stat().st_mtime_ns for path in whole.path.iterdir()}
    monkeypatch.setattr(cache_module, "FileLock", lambda _: pytest.fail("locked"))
    monkeypatch.setattr(Path, "mkdir", lambda *_, **__: pytest.fail("written"))
    assert (
        open_cache(drawn, SIZE, execution=Execution(cache_root=tmp_path / "cache")).fingerprint
        == whole.fingerprint
    )
    assert {path.name: path.stat().st_mtime_ns for path in whole.path.iterdir()} == before


def test_a_cache_that_is_not_whole_and_cannot_be_written_is_refused_with_the_way_on(
    drawn: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(DataError, match=r"Read-only.*Set LESIONWISE_CACHE"):
        open_cache(drawn, SIZE, execution=Execution(cache_root=tmp_path / "cache"))


BESIDE = """
import sys
from pathlib import Path
from lesionwise.data import cache, dataset
from lesionwise.execution import Execution
cache.CHUNK = 16
execution = Execution(cache_root=sys.argv[2])
cache.open_cache(dataset.read_dataset(Path(sys.argv[1])), (24, 32), execution=execution)
"""


def test_two_commands_that_start_at_once_share_one_whole_cache(
    drawn: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_module, "CHUNK", 16)
    command = [sys.executable, "-c", BESIDE, str(drawn.folder), str(tmp_path / "cache")]
    processes = [subprocess.Popen(command) for _ in range(3)]
    assert [process.wait() for process in processes] == [0, 0, 0]
    fresh = open_cache(drawn, SIZE, execution=Execution(cache_root=tmp_path / "fresh"))
    assert np.array_equal(
        open_cache(drawn, SIZE, execution=Execution(cache_root=tmp_path / "cache")).pixels, fresh.pixels
    )
