import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from conftest import NotedProgress, WriteKaggle, make_recipe
from lesionwise.data.dataset import Dataset, read_dataset
from lesionwise.errors import RunError, SplitError
from lesionwise.evaluation.predictions import Predictions, read_predictions
from lesionwise.execution import Execution
from lesionwise.experiments import folder as experiment_folder
from lesionwise.experiments.leakage import PROTOCOLS, Outcome, measure, measure_leakage
from lesionwise.files import read_json, write_json
from lesionwise.run_folder import RunFolder
from lesionwise.split.assign import make_split
from lesionwise.split.split_file import read_split, write_split
from lesionwise.training import prepare as training_prepare

RECIPE = {"model": "seed-mlp", "epochs": 1, "batch_size": 64}
PER_CLASS = 40


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, write_kaggle: WriteKaggle) -> Path:
    return write_kaggle(tmp_path_factory.mktemp("many") / "data", lesions=24)


@pytest.fixture(scope="module")
def dataset(folder: Path) -> Dataset:
    return read_dataset(folder)


@pytest.fixture(scope="module")
def split(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("split") / "split.csv"
    write_split(make_split(dataset), path)
    return path


@pytest.fixture(scope="module")
def measured(
    folder: Path, split: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Outcome]]:
    out = tmp_path_factory.mktemp("measured") / "out"
    outcomes = measure_leakage(make_recipe(**RECIPE), folder, out=out, split=split, per_class=PER_CLASS)
    return out, {outcome.protocol: outcome for outcome in outcomes}


def origins(names: pd.Series) -> set[str]:
    return set(names.str.partition("#")[0])


def test_neither_test_nor_exam_is_in_what_the_protocols_deal_out(
    measured: tuple[Path, dict[str, Outcome]], split: Path
) -> None:
    out, outcomes = measured
    frame = read_split(split).frame
    forbidden = set(frame.loc[(frame["part"] == "test") | (frame["fold"] == 1), "image_id"])
    assert list(outcomes) == list(PROTOCOLS)
    for protocol in PROTOCOLS:
        dealt = read_split(out / protocol / "split.csv").frame["image_id"]
        assert not forbidden & origins(dealt)
    assert not list(out.rglob("test-ledger.csv"))
    assert not (split.parent / "test-ledger.csv").exists()


def test_the_exam_is_the_same_for_all_and_no_lesion_of_it_was_seen(
    measured: tuple[Path, dict[str, Outcome]], split: Path, dataset: Dataset
) -> None:
    out, _ = measured
    frame = read_split(split).frame
    lesion = dataset.table.set_index("image_id")["lesion_id"]
    for protocol in PROTOCOLS:
        exam = read_predictions(out / protocol / "predictions-exam.csv")
        assert set(exam.image_id) == set(frame.loc[frame["fold"] == 1, "image_id"])
        kept = read_split(out / protocol / "split.csv").image_ids("train", "val", "cal")
        assert not set(lesion[list(origins(kept))]) & set(lesion[exam.image_id.tolist()])


def test_each_protocol_leaks_as_it_says(measured: tuple[Path, dict[str, Outcome]]) -> None:
    out, outcomes = measured
    honest = outcomes["lesion-split"]
    assert (honest.leaky, honest.tainted, honest.repeated) == (False, 0, 0)
    assert honest.clean == honest.own
    image, resampled, augmented = (outcomes[name] for name in list(PROTOCOLS)[1:])
    assert 0 < image.tainted < image.own.images
    assert image.repeated == 0
    assert 0 < resampled.repeated <= resampled.tainted
    assert augmented.own.images > 3 * resampled.own.images
    assert augmented.tainted > 0.9 * augmented.own.images
    for protocol, outcome in outcomes.items():
        stamp = read_json(out / protocol / "split.json").get("stamp")
        assert stamp == (None if protocol == "lesion-split" else "LEAKY SPLIT")
        assert outcome.leaky == (stamp is not None)


def test_counts_are_those_of_a_slow_loop(measured: tuple[Path, dict[str, Outcome]], dataset: Dataset) -> None:
    out, outcomes = measured
    lesion = dict(zip(dataset.table["image_id"], dataset.table["lesion_id"], strict=True))
    frame = read_split(out / "resampled" / "split.csv").frame
    tainted = repeated = 0
    kept = frame.loc[frame["part"] != "test", "image_id"].tolist()
    for name in frame.loc[frame["part"] == "test", "image_id"]:
        image = name.split("#")[0]
        tainted += any(lesion[image] == lesion[other.split("#")[0]] for other in kept)
        repeated += any(image == other.split("#")[0] for other in kept)
    assert (outcomes["resampled"].tainted, outcomes["resampled"].repeated) == (tainted, repeated)
    assert outcomes["resampled"].trained == len(kept)


def test_a_clean_rest_without_every_diagnosis_has_an_accuracy_and_says_what_is_missing(
    measured: tuple[Path, dict[str, Outcome]],
) -> None:
    out, outcomes = measured
    clean = outcomes["augmented"].clean
    assert "balanced_accuracy" not in clean.scores
    assert clean.note
    own = read_predictions(out / "image-split" / "predictions-test.csv")
    assert own.y_true is not None
    hits = (own.y_prob.argmax(1) == own.y_true).mean()
    assert outcomes["image-split"].own.scores["accuracy"].value == pytest.approx(hits)


def test_the_table_holds_a_stamped_row_for_each_score(measured: tuple[Path, dict[str, Outcome]]) -> None:
    out, outcomes = measured
    table = pd.read_csv(out / "leakage.csv", keep_default_na=False)
    assert set(table.loc[table["protocol"] == "lesion-split", "stamp"]) == {""}
    assert set(table.loc[table["protocol"] != "lesion-split", "stamp"]) == {"LEAKY SPLIT"}
    row = table[(table["protocol"] == "resampled") & (table["measured_on"] == "exam")].iloc[0]
    assert row["value"] == pytest.approx(outcomes["resampled"].exam.scores[row["score"]].value, abs=1e-6)


def test_protocols_that_are_done_are_kept(
    measured: tuple[Path, dict[str, Outcome]], folder: Path, split: Path
) -> None:
    out, outcomes = measured
    started = NotedProgress()
    stamps = {path: path.stat().st_mtime_ns for path in out.rglob("*.ckpt")}
    again = measure_leakage(
        make_recipe(**RECIPE),
        folder,
        out=out,
        split=split,
        per_class=PER_CLASS,
        execution=Execution(progress=started),
    )
    assert not started.runs
    assert {outcome.protocol: outcome for outcome in again} == outcomes
    assert stamps == {path: path.stat().st_mtime_ns for path in out.rglob("*.ckpt")}


KILLED = """
import os, signal, sys
from lesionwise.recipe import load_recipe
from lesionwise.experiments.leakage import measure_leakage
from lesionwise.execution import Execution
from lesionwise.progress import Progress
class Stop(Progress):
    def on_run(self, title):
        self.title = title
    def on_epoch(self, row):
        if self.title.startswith("resampled:"):
            os.kill(os.getpid(), signal.SIGKILL)
if __name__ == "__main__":
    measure_leakage(load_recipe(sys.argv[1]), sys.argv[2], out=sys.argv[3], split=sys.argv[4],
                    per_class=40, execution=Execution(progress=Stop()))
"""


@pytest.mark.parametrize(
    ("truth", "note"),
    [([5, 5, 5], "only one diagnosis is left"), ([5, 5, 1], "only 2 diagnoses are left")],
)
def test_a_part_without_every_diagnosis_says_how_many_are_left(truth: list[int], note: str) -> None:
    names = np.array(["a", "b", "c"])
    predictions = Predictions(names, np.full((3, 7), 1 / 7), y_true=np.array(truth), group=names)
    measured = measure(predictions)
    assert measured.note == note
    assert list(measured.scores) == ["accuracy"]


def test_a_killed_measurement_goes_on_to_the_same_numbers(
    measured: tuple[Path, dict[str, Outcome]], folder: Path, split: Path, tmp_path: Path
) -> None:
    recipe, out = tmp_path / "recipe.toml", tmp_path / "out"
    recipe.write_text(make_recipe(**RECIPE).to_toml())
    command: list[str | Path] = [sys.executable, "-c", KILLED, recipe, folder, out, split]
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}  # others round otherwise
    done = subprocess.run(command, check=False, timeout=300, env={**os.environ, **threads})
    assert done.returncode == -signal.SIGKILL
    assert not RunFolder(out / "resampled").predictions("exam").exists()
    outcomes = measure_leakage(make_recipe(**RECIPE), folder, out=out, split=split, per_class=PER_CLASS)
    assert {outcome.protocol: outcome for outcome in outcomes} == measured[1]


def test_what_cannot_be_measured_is_refused_before_anything_is_written(
    folder: Path, dataset: Dataset, tmp_path: Path
) -> None:
    write_split(make_split(dataset, by="image"), tmp_path / "leaky.csv")
    with pytest.raises(SplitError, match="Expected a split by lesion"):
        measure_leakage(make_recipe(**RECIPE), folder, out=tmp_path / "out", split=tmp_path / "leaky.csv")
    with pytest.raises(SplitError, match="as a measurement does"):
        measure_leakage(make_recipe(defect_resample_before_split=50), folder, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    (tmp_path / "out").mkdir()
    np.save(tmp_path / "out" / "mine.npy", [1])
    with pytest.raises(RunError, match="holds no measurement"):
        measure_leakage(make_recipe(**RECIPE), folder, out=tmp_path / "out")


def test_it_is_continued_as_it_was_begun(measured: tuple[Path, dict[str, Outcome]], folder: Path) -> None:
    with pytest.raises(RunError, match="was started with another recipe and --seed"):
        measure_leakage(make_recipe(**RECIPE, lr=0.5), folder, out=measured[0], seed=1)


class Stopped(Exception):  # noqa: N818 (no error)
    """Raised in place of training."""


def test_what_one_fold_sees_leaves_the_final_exam_out_and_is_refused(
    measured: tuple[Path, dict[str, Outcome]], folder: Path, tmp_path: Path
) -> None:
    split = measured[0] / "lesion-split" / "split.csv"
    with pytest.raises(SplitError, match="is the split of a single fold"):
        measure_leakage(make_recipe(**RECIPE), folder, out=tmp_path / "out", split=split)
    assert not (tmp_path / "out").exists()


def test_a_finished_run_is_never_written_over(
    measured: tuple[Path, dict[str, Outcome]], folder: Path, split: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(measured[0] / "lesion-split", run)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    with pytest.raises(RunError, match="is not empty and holds no measurement"):
        measure_leakage(make_recipe(**RECIPE), folder, out=run, split=split)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_too_few_lesions_for_a_protocol_are_found_before_an_image_is_read(
    drawn_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_prepare, "open_cache", lambda *_, **__: pytest.fail("read the images"))
    with pytest.raises(
        SplitError, match=r"lesion-split, on the images outside test and the exam \(fold 1\): Expected"
    ):
        measure_leakage(make_recipe(**RECIPE), drawn_folder, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("key", "named"), [("fingerprint", "content of --data"), ("per_class", "per_class")])
def test_protocols_of_other_data_or_another_draw_are_not_mixed(
    key: str, named: str, measured: tuple[Path, dict[str, Outcome]], folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(measured[0], tmp_path / "out")
    record = tmp_path / "out" / "leakage.json"
    assert key in read_json(record)
    write_json(record, {**read_json(record), key: 7})
    with pytest.raises(RunError, match=f"was started with another {named}"):
        measure_leakage(make_recipe(**RECIPE), folder, out=tmp_path / "out", per_class=PER_CLASS)


def test_training_decodes_with_as_many_threads_as_asked_for(
    folder: Path, split: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []

    def note(*_: object, execution: Execution, **__: object) -> None:
        asked.append(execution.workers)
        raise Stopped

    monkeypatch.setattr(experiment_folder, "train", note)
    with pytest.raises(Stopped):
        measure_leakage(
            make_recipe(**RECIPE),
            folder,
            out=tmp_path / "out",
            split=split,
            per_class=PER_CLASS,
            execution=Execution(workers=3),
        )
    assert asked == [3]


def test_the_commonest_diagnosis_of_a_place_is_its_baseline(
    measured: tuple[Path, dict[str, Outcome]],
) -> None:
    out, outcomes = measured
    for where, part in (("own", "test"), ("exam", "exam")):
        truth = read_predictions(out / "resampled" / f"predictions-{part}.csv").y_true
        assert truth is not None
        commonest = np.bincount(truth).max() / len(truth)
        assert getattr(outcomes["resampled"], where).baseline == pytest.approx(commonest)
