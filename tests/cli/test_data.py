"""`lesionwise data`: what the commands print, leave behind and end with."""

import json
import os
import shutil
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from lesionwise.cli.app import app
from lesionwise.data.dataset import read_dataset
from lesionwise.data.download import check, obtain
from lesionwise.data.download.check import FolderCheck
from lesionwise.data.download.obtain import Downloaded
from lesionwise.data.download.sources import Set, Source
from lesionwise.errors import DataError
from lesionwise.progress import Progress


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["data", *map(str, arguments)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def test_download_passes_on_what_was_asked_for_and_tells_what_came(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []

    def stand_in(wanted: Set, out: Path, *, source: Source | None, progress: Progress) -> Downloaded:
        asked.extend((wanted, out, source))
        progress.on_bytes("a.zip", 5, 10)
        progress.on_work("unpacking images", 3, 3)
        return Downloaded(out, Source.isic, {Source.dataverse: "403"}, ("a.jpg",))

    monkeypatch.setattr(obtain, "download_set", stand_in)
    code, output = run("download", "--source", "isic", "--set", "test", "--out", tmp_path)
    assert (code, asked) == (0, [Set.test, tmp_path, Source.isic])
    assert "dataverse failed: 403" in output
    assert "1 readable copy was there already" in output
    assert "test set from isic" in output
    code, output = run("download", "--out", tmp_path, "--json", "--quiet")
    assert asked[3:] == [Set.train, tmp_path, None]
    assert json.loads(output)["source"] == "isic"


def test_verify_ends_with_1_and_names_what_is_missing(drawn_folder: Path) -> None:
    code, output = run("verify", drawn_folder)
    assert code == 1
    assert "NOT COMPLETE: 10015 missing (ISIC_0024306, " in output
    assert "do not belong to the set" in output
    assert json.loads(run("verify", drawn_folder, "--json")[1])["complete"] is False


def test_verify_of_no_folder_is_wrong_use(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected a data folder"):
        run("verify", tmp_path / "nowhere")


def test_verify_of_a_whole_folder_ends_with_0_and_says_what_is_known(
    drawn_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = FolderCheck(expected=10_015, found=10_016, extra=("mine",), notes=("All is well.",))
    monkeypatch.setattr(check, "check_folder", lambda *_: whole)
    code, output = run("verify", drawn_folder)
    assert code == 0
    assert "complete. 10,016 image files, 10,015 expected." in output
    assert "All is well." in output
    assert "1 image file does not belong to the set." in output


def test_lesions_are_declared_only_by_an_explicit_word(tmp_path: Path) -> None:
    for dx in ("mel", "nv"):
        (tmp_path / dx).mkdir()
        Image.new("RGB", (12, 9)).save(tmp_path / dx / f"{dx}1.png")
    with pytest.raises(DataError, match="only you can state"):
        run("lesions", tmp_path)
    code, output = run("lesions", tmp_path, "--each-image")
    assert code == 0
    assert "states that each of 2 images shows a lesion of its own" in output
    assert read_dataset(tmp_path).table["lesion_id"].tolist() == ["mel1", "nv1"]
    with pytest.raises(DataError, match="names the lesion of every image already"):
        run("lesions", tmp_path, "--each-image")
    (tmp_path / "lesions.csv").unlink()
    code, output = run("lesions", tmp_path, "--each-image", "--json", "--quiet")
    assert json.loads(output) == {"table": str(tmp_path / "lesions.csv"), "images": 2}


def test_audit_lists_findings_and_ends_with_1_on_errors_only_unless_told(
    tmp_path: Path, drawn_folder: Path
) -> None:
    code, output = run("audit", drawn_folder, "--quiet", "--out", tmp_path / "out")
    assert code == 0
    assert "0 errors, " in output
    assert sorted(os.listdir(tmp_path / "out")) == ["audit.html", "audit.json", "pairs.csv"]  # noqa: PTH208
    code, output = run("audit", drawn_folder, "--quiet", "--fail-on", "warning", "--json")
    assert (code, json.loads(output)["layout"]) == (1, "kaggle")
    assert run("audit", drawn_folder, "--quiet", "--fail-on", "never")[0] == 0


def test_audit_of_a_faulty_table_ends_with_1(tmp_path: Path, drawn_folder: Path) -> None:
    folder = Path(shutil.copytree(drawn_folder, tmp_path / "data"))
    table = folder / "HAM10000_metadata.csv"
    table.write_text(table.read_text().replace(",mel,", ",wart,"))
    code, output = run("audit", folder, "--quiet")
    assert code == 1
    assert "D004 error: diagnosis 'wart'" in output


def test_the_folder_of_a_download_is_not_made_by_a_wrong_option(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="kaggle does not provide masks"):
        run("download", "--source", "kaggle", "--set", "masks", "--out", tmp_path / "new")
    assert os.listdir(tmp_path) == []  # noqa: PTH208 (nothing at all)
