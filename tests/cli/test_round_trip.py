"""`predict`, then `evaluate` and `check`, for every form in which images are given."""

import json
import shutil
import sys
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from bundle.conftest import exported, graph  # noqa: F401 (pytest finds fixtures by name)
from bundle.small_model import images
from lesionwise import cli
from lesionwise.labels import CODES
from predict.conftest import model  # noqa: F401 (the same)

IDS = [f"ISIC_{7_000_000 + number}" for number in range(21)]
"""Ids that no collection has; three images of each diagnosis."""


@pytest.fixture(scope="session")
def kaggle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images in two folders, as the archive of Kaggle has them."""
    root = tmp_path_factory.mktemp("trip") / "kaggle"
    for number, pixels in enumerate(images(len(IDS), (48, 64))):
        path = root / f"HAM10000_images_part_{1 + number % 2}" / f"{IDS[number]}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path, quality=95)
    return root


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    """The truth as the ISIC challenge writes it, lesions, and two lists of ids."""
    dx = np.array(CODES)[np.arange(len(IDS)) % 7]
    hot = pd.DataFrame({"image": IDS, **{code.upper(): (dx == code) * 1.0 for code in CODES}})
    hot.to_csv(tmp_path / "truth.csv", index=False)
    lesions = pd.DataFrame({"image_id": IDS, "lesion_id": [f"L{i}" for i in range(len(IDS))], "dx": dx})
    lesions.to_csv(tmp_path / "lesions.csv", index=False)
    (tmp_path / "train.txt").write_text(f"{IDS[0]}\n")
    (tmp_path / "test.txt").write_text("\n".join(IDS))
    return tmp_path


@dataclass(frozen=True)
class Shell:
    """The command line, with a bundle to predict with."""

    bundle: Path
    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]

    def run(self, *arguments: object) -> tuple[int, str, str]:
        """Return the exit code of a command, and what it wrote to stdout and stderr."""
        self.monkeypatch.setattr(sys, "argv", ["lesionwise", *map(str, arguments)])
        code: object = 0
        try:
            cli.main()
        except SystemExit as ended:
            code = ended.code
        return int(str(code or 0)), *self.capsys.readouterr()

    def predict(self, places: list[object], out: Path, *options: object) -> tuple[int, str, str]:
        return self.run("predict", *places, "--out", out, "--model", self.bundle, "--quiet", *options)


@pytest.fixture
def shell(
    model: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Shell:
    return Shell(model, monkeypatch, capsys)


def folder(kaggle: Path, tmp_path: Path) -> Sequence[object]:
    flat = tmp_path / "flat"
    flat.mkdir()
    for path in kaggle.rglob("*.jpg"):
        shutil.copy(path, flat)
    return [flat]


def nested(kaggle: Path, _tmp_path: Path) -> Sequence[object]:
    return [kaggle]


def twice(kaggle: Path, tmp_path: Path) -> Sequence[object]:
    """As the archive unpacks: both folders again in lower case."""
    shutil.copytree(kaggle, tmp_path / "all")
    for part in ("1", "2"):
        source = tmp_path / "all" / f"HAM10000_images_part_{part}"
        shutil.copytree(source, tmp_path / "all" / source.name.lower())
    return [tmp_path / "all"]


def zipped(kaggle: Path, tmp_path: Path) -> Sequence[object]:
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for path in sorted(kaggle.rglob("*.jpg")):
            archive.write(path, path.relative_to(kaggle))
    return [tmp_path / "all.zip"]


def pattern(kaggle: Path, _tmp_path: Path) -> Sequence[object]:
    return [kaggle / "*" / "*.jpg"]


def files(kaggle: Path, _tmp_path: Path) -> Sequence[object]:
    return sorted(kaggle.rglob("*.jpg"))


def relative_paths(kaggle: Path, tmp_path: Path) -> Sequence[object]:
    shutil.copytree(kaggle, tmp_path / "here")
    paths = [path.relative_to(tmp_path) for path in sorted((tmp_path / "here").rglob("*.jpg"))]
    pd.DataFrame({"path": paths}).to_csv(tmp_path / "list.csv", index=False)
    return [tmp_path / "list.csv"]


def absolute_paths(kaggle: Path, tmp_path: Path) -> Sequence[object]:
    pd.DataFrame({"path": sorted(kaggle.rglob("*.jpg"))}).to_csv(tmp_path / "list.csv", index=False)
    return [tmp_path / "list.csv"]


def paths_with_ids(kaggle: Path, tmp_path: Path) -> Sequence[object]:
    """File names say nothing here; the ids do."""
    rows = []
    for number, path in enumerate(sorted(kaggle.rglob("*.jpg"))):
        shutil.copy(path, tmp_path / f"photo {number}.jpg")
        rows.append({"image_id": path.stem, "path": f"photo {number}.jpg"})
    pd.DataFrame(rows).to_csv(tmp_path / "list.csv", index=False)
    return [tmp_path / "list.csv"]


def ids_with_suffix(kaggle: Path, tmp_path: Path) -> Sequence[object]:
    rows = [{"image_id": path.name, "path": path} for path in sorted(kaggle.rglob("*.jpg"))]
    pd.DataFrame(rows).to_csv(tmp_path / "list.csv", index=False)
    return [tmp_path / "list.csv"]


def dicom(kaggle: Path, tmp_path: Path) -> Sequence[object]:
    from data.test_dicom import draw  # noqa: PLC0415 (needs pydicom)

    (tmp_path / "study").mkdir()
    for path in kaggle.rglob("*.jpg"):
        (tmp_path / "study" / f"{path.stem}.dcm").write_bytes(draw(np.asarray(Image.open(path))))
    return [tmp_path / "study"]


FORMS = [
    *(folder, nested, twice, zipped, pattern, files, relative_paths, absolute_paths),
    *(paths_with_ids, ids_with_suffix),
    pytest.param(
        dicom, marks=pytest.mark.skipif(find_spec("pydicom") is None, reason="pydicom is not installed")
    ),
]


@pytest.mark.parametrize("format_", ["lesionwise", "isic"])
@pytest.mark.parametrize("form", FORMS)
def test_what_predict_writes_evaluate_and_check_read_with_the_ids_of_the_truth(
    form: Callable[[Path, Path], list[object]], format_: str, shell: Shell, kaggle: Path, tables: Path
) -> None:
    out, truth, lesions = (tables / name for name in ("predictions.csv", "truth.csv", "lesions.csv"))
    assert shell.predict(form(kaggle, tables), out, "--format", format_)[0] == 0
    code, shown, _ = shell.run("evaluate", out, "--truth", truth, "--table", lesions, "--json", "--quiet")
    assert code == 0
    assert json.loads(shown)["images"] == len(IDS)
    lists = ("--train", tables / "train.txt", "--test", tables / "test.txt", "--table", lesions)
    code, shown, _ = shell.run("check", *lists, "--predictions", out, "--json")
    assert code == 1
    assert json.loads(shown)["tainted"] == {IDS[0]: "same image"}
    assert json.loads(shown)["scores"]["all"]["images"] == len(IDS)


def test_the_challenges_format_refuses_images_that_share_a_bare_id(
    shell: Shell, kaggle: Path, tmp_path: Path
) -> None:
    for name in ("left", "right"):
        (tmp_path / name).mkdir()
        shutil.copy(next(kaggle.rglob("*.jpg")), tmp_path / name / "1.jpg")
    places: list[object] = [tmp_path / "left", tmp_path / "right"]
    code, _, shown = shell.predict(places, tmp_path / "p.csv", "--format", "isic")
    assert code == 2
    assert "several are called 1" in shown


def test_names_that_do_not_match_are_shown_from_both_sides(shell: Shell, kaggle: Path, tables: Path) -> None:
    out, truth = tables / "p.csv", tables / "others.csv"
    assert shell.predict([kaggle], out)[0] == 0
    pd.DataFrame({"image_id": ["other_1"], "dx": ["mel"]}).to_csv(truth, index=False)
    code, _, shown = shell.run("evaluate", out, "--truth", truth)
    assert code == 2
    assert "other_1" in shown
    assert IDS[0] in shown
