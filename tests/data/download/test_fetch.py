"""One file from a server that misbehaves: whole and verified, or not there at all."""

from collections.abc import Iterator
from hashlib import md5
from pathlib import Path

import numpy as np
import pytest

from conftest import NotedProgress
from lesionwise.data.download.fetch import Patience, fetch
from lesionwise.data.download.sources import RemoteFile
from lesionwise.errors import DownloadError
from misbehaving import Site, serve

CONTENT = b"PK\x03\x04" + np.random.default_rng(0).integers(0, 256, 3_000_000, dtype=np.uint8).tobytes()
FILE = RemoteFile("a.zip", "a", "images", size=len(CONTENT), md5=md5(CONTENT).hexdigest())  # noqa: S324
UNSIZED = RemoteFile("a.zip", "a", "images", md5=FILE.md5)


@pytest.fixture
def site() -> Iterator[Site]:
    with serve(Site({"a": CONTENT, "t": b"image_id,dx\n"})) as served:
        yield served


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def patience(waits: list[float]) -> Patience:
    return Patience(attempts=4, timeout_s=0.3, sleep=waits.append)


@pytest.mark.parametrize("file", [FILE, UNSIZED])
@pytest.mark.parametrize(
    "faults",
    [
        [],
        ["503"],
        ["500", "502", "429"],
        ["truncated"],
        ["truncated", "truncated", "503"],
        ["hangs"],
        ["drops"],
        ["wrong"],
        ["endless"],
        ["truncated", "changed"],
        ["moved"],
        ["moved", "truncated", "moved"],
    ],
    ids="-".join,
)
@pytest.mark.parametrize("ranges", [True, False])
def test_what_passes_leads_to_the_whole_file(
    site: Site, tmp_path: Path, patience: Patience, *, faults: list[str], ranges: bool, file: RemoteFile
) -> None:
    site.faults["a"], site.ranges = list(faults), ranges
    path = fetch(file, site.address, tmp_path, patience=patience)
    assert path.read_bytes() == CONTENT
    assert [left.name for left in tmp_path.iterdir()] == ["a.zip"]


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("403", "answered 403"),
        ("404", "answered 404"),
        ("410", "answered 410"),
        ("html", "sent a web page under its name"),
        ("foreign", "expected a zip archive"),
        ("shorter", "expected 3,000,004 bytes but the server offers 1,500,002"),
        ("longer", "the server offers 3,000,008"),
        ("file", "answered 302"),
        ("ftp", "answered 302"),
    ],
)
def test_what_stays_ends_at_once_and_leaves_nothing_under_the_name(
    site: Site, tmp_path: Path, patience: Patience, waits: list[float], *, fault: str, message: str
) -> None:
    site.faults["a"] = [fault] * 9
    with pytest.raises(DownloadError, match=message):
        fetch(FILE, site.address, tmp_path, patience=patience)
    assert not (tmp_path / "a.zip").exists()
    assert waits == []
    assert site.count("a") == 1


@pytest.mark.parametrize(
    ("fault", "requests", "message"),
    [
        ("503", 4, "gave up after 4 attempts: the server answered 503"),
        ("drops", 4, "gave up after 4 attempts: the connection failed"),
        ("wrong", 2, "expected MD5 .* but got .*, twice"),
        ("empty", 2, "expected .* bytes but got 0, twice"),
    ],
)
def test_what_does_not_pass_is_given_up(
    site: Site, tmp_path: Path, patience: Patience, *, fault: str, requests: int, message: str
) -> None:
    site.faults["a"] = [fault] * 9
    with pytest.raises(DownloadError, match=message):
        fetch(UNSIZED, site.address, tmp_path, patience=patience)
    assert not (tmp_path / "a.zip").exists()
    assert site.count("a") == requests


def test_a_line_that_breaks_again_and_again_is_no_failure_while_bytes_come_in(
    site: Site, tmp_path: Path, patience: Patience
) -> None:
    site.faults["a"] = ["truncated"] * 15
    assert fetch(FILE, site.address, tmp_path, patience=patience).read_bytes() == CONTENT
    assert site.count("a") == 16


def test_an_address_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="expected an http or https address"):
        fetch(FILE, "ftp://127.0.0.1/", tmp_path)


def test_a_stopped_download_goes_on_where_it_was(site: Site, tmp_path: Path) -> None:
    site.faults["a"] = ["truncated"]
    once = Patience(attempts=1)
    with pytest.raises(DownloadError, match="ended after 1,500,002 of 3,000,004 bytes"):
        fetch(FILE, site.address, tmp_path, patience=once)
    assert (tmp_path / "a.zip.part").stat().st_size == len(CONTENT) // 2
    assert fetch(FILE, site.address, tmp_path, patience=once).read_bytes() == CONTENT
    assert site.asked[-1] == ("GET", "a", f"bytes={len(CONTENT) // 2}-")


def test_a_part_of_another_address_is_not_gone_on_with(site: Site, tmp_path: Path) -> None:
    (tmp_path / "a.zip.part").write_bytes(b"PK\x03\x04 from elsewhere")
    (tmp_path / "a.zip.part.json").write_text('{"url": "http://127.0.0.1:1/a", "validator": "\\"one\\""}')
    assert fetch(FILE, site.address, tmp_path).read_bytes() == CONTENT
    assert site.asked == [("GET", "a", None)]


def test_a_part_that_is_too_long_for_the_server_is_begun_anew(site: Site, tmp_path: Path) -> None:
    (tmp_path / "a.zip.part").write_bytes(CONTENT + b"more")
    (tmp_path / "a.zip.part.json").write_text(f'{{"url": "{site.address}a", "validator": "\\"one\\""}}')
    assert (
        fetch(FILE, site.address, tmp_path, patience=Patience(sleep=lambda _: None)).read_bytes() == CONTENT
    )


def test_what_is_there_and_right_is_not_asked_for(site: Site, tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(CONTENT)
    fetch(FILE, site.address, tmp_path)
    assert site.asked == []


def test_what_is_there_and_wrong_is_replaced(site: Site, tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(CONTENT[:-1])
    assert fetch(FILE, site.address, tmp_path).read_bytes() == CONTENT


def test_waits_grow_and_the_servers_word_goes_before(
    site: Site, tmp_path: Path, patience: Patience, waits: list[float]
) -> None:
    site.faults["a"] = ["503", "soon", "at"]
    fetch(FILE, site.address, tmp_path, patience=patience)
    assert 0.5 <= waits[0] <= 1.5
    assert waits[1] == 7
    assert 30 < waits[2] <= 40


def test_it_never_asks_with_head_and_names_itself(site: Site, tmp_path: Path) -> None:
    fetch(FILE, site.address, tmp_path)  # an agent of urllib or requests would get 403
    assert {method for method, _, _ in site.asked} == {"GET"}


def test_progress_is_told_in_bytes(site: Site, tmp_path: Path) -> None:
    noted = NotedProgress()
    fetch(FILE, site.address, tmp_path, progress=noted)
    assert noted.bytes[-1] == ("a.zip", len(CONTENT), len(CONTENT))
    assert len(noted.bytes) > 1


def test_a_web_page_is_no_table_either(site: Site, tmp_path: Path) -> None:
    site.faults["t"] = ["html"]
    with pytest.raises(DownloadError, match="web page"):
        fetch(RemoteFile("t.csv", "t", "truth"), site.address, tmp_path)
    assert list(tmp_path.iterdir()) == []
