import re
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import ROOT, Lesionwise

NOTEBOOK = ROOT / "examples" / "notebook.py"
GUIDE = ROOT / "docs" / "from-a-notebook.md"


def test_the_notebook_walks_its_fourteen_steps_on_drawn_images(drawn_folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    options = ["epochs=1", "image_size=[24, 32]", "batch_size=32"]
    command = [sys.executable, str(NOTEBOOK), str(drawn_folder), str(tmp_path / "out"), *options]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Balanced accuracy 0." in done.stdout
    for made in ("explore/explore.html", "split.csv", "run/report.html"):
        assert (tmp_path / "out" / made).is_file()


def test_the_notebook_names_every_step_once() -> None:
    cells = "".join(re.findall(r"^# %%.*$", NOTEBOOK.read_text(encoding="utf-8"), re.MULTILINE))
    assert sorted(int(step) for step in re.findall(r"\b(\d+)\.", cells)) == list(range(1, 15))


def test_the_guide_maps_every_step_and_names_only_verbs_that_exist(lesionwise: Lesionwise) -> None:
    text = GUIDE.read_text(encoding="utf-8")
    assert [int(step) for step in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)] == list(range(1, 15))
    shown = lesionwise("--help").out
    verbs = set(re.findall(r"`lesionwise ([a-z-]+)", text))
    assert verbs
    assert not [verb for verb in verbs if not re.search(rf"\b{verb}\b", shown)]


def run_example(name: str, *arguments: object) -> str:
    command = [sys.executable, str(ROOT / "examples" / name), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_classifier_of_scikit_learn_is_scored_by_lesion(drawn_folder: Path) -> None:
    shown = run_example("scikit_learn.py", drawn_folder)
    assert re.search(
        r"balanced_accuracy +[01]\.\d+ \([01]\.\d+ to [01]\.\d+\)   always the commonest: 0\.143", shown
    )


def test_a_class_sees_both_scores(drawn_folder: Path) -> None:
    shown = run_example("leak.py", drawn_folder)
    assert len(re.findall(r"balanced accuracy [01]\.\d+ \([01]\.\d+ to [01]\.\d+\)", shown)) == 2


def test_a_clinic_gets_a_table_and_whom_to_look_at_first(drawn_folder: Path, tmp_path: Path) -> None:
    first, second = sorted(drawn_folder.rglob("*.jpg"))[:2]
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    rows = ["path,age,sex", f"{first},45,female", f"{second},,", "broken.jpg,,", "gone.jpg,60,", ",,male"]
    (tmp_path / "table.csv").write_text("\n".join(rows), encoding="utf-8")
    shown = run_example("clinic.py", tmp_path / "table.csv", tmp_path / "out.csv")
    assert "broken.jpg: is not an image" in shown
    assert "gone.jpg: cannot be read: No such file" in shown
    assert "left out: 1 without a path" in shown
    assert "2 answers of best" in shown
    assert len((tmp_path / "out.csv").read_text(encoding="utf-8").splitlines()) == 3
