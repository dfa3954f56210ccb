import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import pytest

from conftest import ROOT, Lesionwise
from lesionwise.files import write_json
from lesionwise.split.split_file import read_split

QUICK = [
    "--set",
    "image_size=[24, 32]",
    "--set",
    "train_size=[24, 32]",
    "--set",
    "epochs=1",
    "--device",
    "cpu",
]


def test_help_names_every_verb_without_importing_what_is_heavy() -> None:
    program = (
        "import sys\nfrom lesionwise.cli import main\nsys.argv = ['lesionwise', '--help']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print('HEAVY', sorted({'torch', 'lightning', 'pandas', 'sklearn', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    for verb in ("run", "data", "train", "evaluate", "report", "bundle"):
        assert f" {verb} " in done.stdout
    assert "HEAVY []" in done.stdout


def test_the_version_is_printed(lesionwise: Lesionwise) -> None:
    assert lesionwise("--version") == (0, version("lesionwise") + "\n", "")


def test_the_whole_job_goes_from_images_to_a_report(
    drawn_folder: Path, tmp_path: Path, lesionwise: Lesionwise
) -> None:
    out = tmp_path / "run"
    arguments = ("run", "small", "--data", drawn_folder, "--out", out, "--json", "--quiet", *QUICK)
    printed = lesionwise(*arguments)
    assert (printed.code, printed.err) == (0, "")
    result = json.loads(printed.out)
    assert 0 <= result["val"]["overall"]["balanced_accuracy"]["value"] <= 1
    page = (out / "report.html").read_text()
    assert "balanced accuracy on val" in page
    assert "<svg" in page
    assert "http://www.w3.org/2000/svg" in page
    assert not any(f'{attribute}="http' in page for attribute in ("src", "href"))  # self-contained
    assert json.loads((out / "scores.json").read_text())["parts"]["val"] == result["val"]
    final = lesionwise("evaluate", out, "--final")
    assert final.code == 0
    assert "This was look 1 at the test images" in final.err
    assert (out / "test-ledger.csv").exists()
    assert lesionwise("report", out).code == 0
    assert "balanced accuracy on test" in (out / "report.html").read_text()


def test_a_run_by_image_is_stamped_on_its_report(
    drawn_folder: Path, tmp_path: Path, lesionwise: Lesionwise
) -> None:
    arguments = ("run", "small", "--data", drawn_folder, "--out", tmp_path / "run", "--by", "image", *QUICK)
    assert lesionwise(*arguments).code == 0
    assert "LEAKY SPLIT" in (tmp_path / "run" / "report.html").read_text()


def test_splitting_and_verifying(drawn_folder: Path, tmp_path: Path, lesionwise: Lesionwise) -> None:
    path = tmp_path / "s.csv"
    assert lesionwise("data", "split", drawn_folder, "--out", path, "--seed", 3, "--quiet").code == 0
    verified = lesionwise("data", "split", drawn_folder, "--verify", path)
    assert verified.code == 0
    assert "No lesion is on two sides" in verified.out
    assert read_split(path).meta["seed"] == 3


def test_a_leak_ends_with_one_and_one_line_without_a_traceback(
    drawn_folder: Path, tmp_path: Path, lesionwise: Lesionwise
) -> None:
    path = tmp_path / "s.csv"
    lesionwise("data", "split", drawn_folder, "--out", path, "--by", "image", "--quiet")
    write_json(path.with_suffix(".json"), {"by": "lesion"})
    refused = lesionwise("data", "split", drawn_folder, "--verify", path, "--quiet")
    assert refused.code == 1
    assert refused.err.startswith("Error: ")
    assert "lesion LESION_" in refused.err
    assert refused.err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "small", "--data", "nowhere"], "expected a data folder but found none"),
        (["train", "tiny", "--data", "."], "Expected a recipe to be one of"),
        (["train", "small", "--data", ".", "--set", "epoch=1"], 'Did you mean "epochs"?'),
        (["evaluate", "nowhere"], "expected a run folder"),
        (["report", "nowhere"], "expected a run folder"),
        (["train", "small"], "Missing option '--data'"),
        (["run", "--by", "patient"], "Invalid value for '--by'"),
    ],
)
def test_wrong_use_ends_with_two_and_says_what_is_wrong(
    arguments: list[str], message: str, lesionwise: Lesionwise
) -> None:
    refused = lesionwise(*arguments)
    assert refused.code == 2
    assert message in " ".join(refused.err.replace("│", " ").split())
    assert "Traceback" not in refused.err


def test_faults_of_the_data_end_with_one_and_are_all_named(
    drawn_folder: Path, tmp_path: Path, lesionwise: Lesionwise
) -> None:
    folder = tmp_path / "faulty"
    folder.mkdir()
    table = pd.read_csv(drawn_folder / "HAM10000_metadata.csv")
    table.loc[0, "dx"] = "wart"
    table.to_csv(folder / "HAM10000_metadata.csv", index=False)
    refused = lesionwise("train", "small", "--data", folder)
    assert refused.code == 1
    assert "D004" in refused.err
    assert "D005" in refused.err


def test_a_missing_extra_prints_its_install_line(drawn_folder: Path) -> None:
    program = (
        "import sys\nsys.modules['pandas'] = None  # an import of it now fails\n"
        "from lesionwise.cli import main\nmain()"
    )
    command = [sys.executable, "-c", program, "data", "split", str(drawn_folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert 'pip install "lesionwise[eval]"' in done.stderr


def test_the_module_can_be_run() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "lesionwise", "data", "split", "--help"], capture_output=True, check=True
    )
    assert b"--verify" in done.stdout


def test_phantoms_stand_in_where_no_data_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lesionwise: Lesionwise
) -> None:
    monkeypatch.setattr("lesionwise.cli.train._PHANTOM_LESIONS", 12)
    ended = lesionwise("run", "small", "--out", tmp_path / "run", *QUICK)
    assert ended.code == 0
    assert "this run is on PHANTOMS" in ended.err


def test_dev_script_stays_short_and_names_the_remedy() -> None:
    source = (ROOT / "dev.py").read_text()
    assert len(source.splitlines()) < 80
    assert "python{version}-venv" in source
