import csv
import getpass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lesionwise.training.ledger import append_ledger


def _look(path: Path, run: str = "small-1") -> int:
    return append_ledger(path, run=run, model_sha256="aa", split_fingerprint="bb")


def test_every_look_is_counted_and_kept(tmp_path: Path) -> None:
    ledger = tmp_path / "test-ledger.csv"
    assert [_look(ledger), _look(ledger, "best, again")] == [1, 2]
    with ledger.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["when", "who", "run", "model_sha256", "split_fingerprint"]
    assert [row["run"] for row in rows] == ["small-1", "best, again"]
    assert (rows[0]["model_sha256"], rows[0]["split_fingerprint"]) == ("aa", "bb")
    when = datetime.fromisoformat(rows[0]["when"])
    assert when.utcoffset() == timedelta(0)
    assert abs(datetime.now(UTC) - when) < timedelta(minutes=5)
    assert "\r" not in ledger.read_bytes().decode()


def test_it_says_who_looked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(getpass, "getuser", lambda: "émile")
    _look(tmp_path / "ledger.csv")
    assert ",émile," in (tmp_path / "ledger.csv").read_text(encoding="utf-8")


@pytest.mark.parametrize("error", [OSError, KeyError])
def test_a_nameless_user_is_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def nobody() -> str:
        raise error

    monkeypatch.setattr(getpass, "getuser", nobody)
    _look(tmp_path / "ledger.csv")
    assert ",unknown,small-1," in (tmp_path / "ledger.csv").read_text(encoding="utf-8")
