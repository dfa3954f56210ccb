from pathlib import Path

import pytest
from typer.testing import CliRunner

from lesionwise.cli.app import app
from lesionwise.data.download import obtain
from lesionwise.data.download.sources import Set
from lesionwise.errors import DataError


def test_without_data_the_training_set_is_downloaded_beside_the_caches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[Set, Path]] = []
    monkeypatch.setattr(obtain, "download_set", lambda wanted, out, **_: asked.append((wanted, out)))
    monkeypatch.setenv("LESIONWISE_CACHE", str(tmp_path / "cache"))
    done = CliRunner().invoke(app, ["bundle", "verify"])
    assert asked == [(Set.train, tmp_path / "ham10000")]
    assert "No --data was given: HAM10000 (2.8 GB" in done.output
    assert isinstance(done.exception, DataError)  # the stand-in downloads nothing
    assert str(tmp_path / "ham10000") in str(done.exception)
