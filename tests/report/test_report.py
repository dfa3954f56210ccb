"""The report of a run and of a stranger's predictions: what it says, and that anyone can read it."""

import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lesionwise.data.cache import data_fingerprint
from lesionwise.data.dataset import read_dataset
from lesionwise.data.preprocess import recipe_steps
from lesionwise.errors import DataError, RunError
from lesionwise.evaluation.calibration.record import Calibration, read_calibration, softmax
from lesionwise.evaluation.predictions import Predictions, read_predictions, write_predictions
from lesionwise.evaluation.runs import predictions as run_predictions
from lesionwise.evaluation.runs.calibrate import calibrate_run
from lesionwise.evaluation.runs.evaluated import headline_part
from lesionwise.evaluation.runs.scores import evaluate_part, evaluate_predictions, write_given
from lesionwise.evaluation.scores.evaluate import evaluate
from lesionwise.files import read_json, write_json, write_text
from lesionwise.labels import CODES
from lesionwise.recipe import load_recipe
from lesionwise.report.html import misclassified_table, thumbnails, write_report
from lesionwise.report.summary import audit_sentence, main_sentences
from lesionwise.run_folder import RunFolder

FIGURES = {"class-scores", "confusion", "confusion-rows", "decision-curve", "precision-recall", "reliability",
           "risk-coverage", "roc", "wrong"}  # fmt: skip


def _predictions(table: pd.DataFrame, *, seed: int = 0, skill: float = 1.5) -> Predictions:
    rng = np.random.default_rng(seed)
    y_true = np.array([CODES.index(code) for code in table["dx"]], np.int64)
    odds = np.exp(rng.normal(size=(len(table), 7)) + skill * np.eye(7)[y_true])
    ids, groups = table["image_id"].to_numpy(str), table["lesion_id"].to_numpy(str)
    return Predictions(ids, odds / odds.sum(axis=1, keepdims=True), y_true, groups)


@pytest.fixture(scope="module")
def run(drawn_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run folder as training leaves it, without the training."""
    run = RunFolder(tmp_path_factory.mktemp("runs") / "small-1")
    data = tmp_path_factory.mktemp("copy") / "data"
    shutil.copytree(drawn_folder, data)
    table = pd.read_csv(data / "HAM10000_metadata.csv")
    recipe = load_recipe("small")
    fingerprint = data_fingerprint(read_dataset(data), recipe.image_size, steps=recipe_steps(recipe))
    write_text(run.config, recipe.to_toml())
    write_json(run.data, {"folder": str(data), "images": len(table), "lesions": 91,
                          "fingerprint": fingerprint, "seed": 0, "layout": "kaggle"})  # fmt: skip
    write_json(run.split.with_suffix(".json"), {"fingerprint": "e" * 64, "images": {"train": 10, "val": 5}})
    write_json(run.environment, {"command": "lesionwise run <small>", "cpus": 2, "machine": "x86_64"})
    history = pd.DataFrame({"epoch": [0, 1, 2], "train_loss": [2.0, 1, 0.5], "val_loss": [2.0, 1.2, 1.1],
                            "train_accuracy": [0.2, 0.5, 0.8], "val_accuracy": [0.2, 0.5, 0.6],
                            "val_balanced_accuracy": [0.2, 0.5, 0.4], "lr": [1e-3, 1e-3, 5e-4]})  # fmt: skip
    write_text(run.history, history.to_csv(index=False))
    write_predictions(_predictions(table), run.predictions("val"))
    evaluate_part(run, "val")
    write_report(run)
    return run


@pytest.fixture(scope="module")
def page(run: RunFolder) -> str:
    return run.report.read_text(encoding="utf-8")


def test_every_figure_has_its_table(run: RunFolder) -> None:
    names = {f"{name}-val" for name in FIGURES} | {"history"}
    assert {path.stem for path in run.figures.glob("*.svg")} == names
    assert {path.stem for path in run.figures.glob("*.csv")} == names | {"misclassified-val"}
    for name in names:
        assert len(pd.read_csv(run.figures / f"{name}.csv"))


def test_the_main_score_stands_with_interval_and_baseline(run: RunFolder, page: str) -> None:
    predictions = pd.read_csv(run.predictions("val"))
    score = evaluate(
        predictions["y_true"].map({code: index for index, code in enumerate(CODES)}),
        predictions[[f"prob_{code}" for code in CODES]],
        predictions["group"],
    ).overall["balanced_accuracy"]
    assert f'<span class="number">{score.value:.3f}</span>' in page
    assert f"95 % interval {score.low:.3f} to {score.high:.3f}" in page
    assert "the same answer for all images: 0.143" in page
    assert "these scores are slightly too high" in page


def test_the_page_needs_no_other_file(page: str) -> None:
    assert not re.findall(r'(?:src|href)="(?!data:image/jpeg;base64,|#)[^"]*"', page)
    assert not re.search(r"https?://(?!www\.w3\.org|creativecommons\.org|purl\.org|matplotlib\.org)", page)
    assert "<script" not in page


class _Outline(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.headings: list[int] = []
        self.ids: list[str] = []
        self.targets: list[str] = []
        self.open_tables = self.captions = self.tables = 0
        self.unnamed: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if re.fullmatch(r"h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if given.get("id"):
            self.ids.append(str(given["id"]))
        if tag == "a" and str(given.get("href", "")).startswith("#"):
            self.targets.append(str(given["href"])[1:])
        self.tables += tag == "table"
        self.captions += tag == "caption"
        nameless = (tag == "th" and "scope" not in given) or (tag == "img" and not given.get("alt"))
        if nameless or (tag == "svg" and not given.get("aria-label")):
            self.unnamed.append(tag)


def test_a_screen_reader_finds_its_way(page: str) -> None:
    outline = _Outline()
    outline.feed(page)
    assert outline.headings[0] == 1
    assert outline.headings.count(1) == 1
    steps = np.diff(outline.headings)
    assert steps.max() <= 1
    assert outline.tables == outline.captions > 0
    assert outline.unnamed == []
    assert len(set(outline.ids)) == len(outline.ids)
    assert set(outline.targets) <= set(outline.ids)
    assert '<html lang="en">' in page


def test_text_from_outside_is_not_taken_for_markup(page: str) -> None:
    assert "lesionwise run &lt;small&gt;" in page


def test_mistakes_are_shown_with_their_images(run: RunFolder, page: str) -> None:
    table = pd.read_csv(run.figures / "misclassified-val.csv")
    melanomas = table[table["true"] == "mel"]
    assert len(melanomas) >= 1
    assert page.count("data:image/jpeg;base64,") == min(12, len(melanomas)) + min(
        12, (table["true"] != "mel").sum()
    )
    assert page.index(melanomas["image_id"].iloc[0]) > page.index("Missed melanomas")


def test_subgroups_come_from_the_data_of_the_run(page: str) -> None:
    assert re.search(r"sex:</span> female</th>", page)
    assert re.search(r"age:</span> 45 to 59</th>", page)


def test_data_that_moved_away_is_said_to_be_gone(run: RunFolder, tmp_path: Path) -> None:
    moved = RunFolder(tmp_path / "moved")
    shutil.copytree(run.path, moved.path)
    facts = pd.read_json(moved.data, typ="series").to_dict()
    write_json(moved.data, {**facts, "folder": str(tmp_path / "gone")})
    text = write_report(moved).read_text(encoding="utf-8")
    assert "The images are not shown: the data folder is no longer where it was" in text
    assert "data:image/jpeg" not in text
    assert "Subgroups" not in text
    assert (
        "No scores by age, sex, site and other metadata: the data folder is no longer where it was." in text
    )


def test_data_of_other_images_is_said_to_be_other_and_damaged_data_stops_the_report(
    run: RunFolder, tmp_path: Path
) -> None:
    moved = RunFolder(tmp_path / "moved")
    shutil.copytree(run.path, moved.path)
    facts = read_json(moved.data)
    data = tmp_path / "data"
    shutil.copytree(facts["folder"], data)
    table = data / "HAM10000_metadata.csv"
    whole = table.read_text(encoding="utf-8").splitlines(keepends=True)
    gone = min(read_predictions(moved.predictions("val")).image_id.tolist())
    table.write_text("".join(line for line in whole if gone not in line), encoding="utf-8")
    for image in data.rglob(f"{gone}.jpg"):
        image.unlink()
    write_json(moved.data, {**facts, "folder": str(data)})
    text = write_report(moved).read_text(encoding="utf-8")
    assert f"the data folder is not the one that was predicted: it has no image {gone}." in text
    assert "Subgroups" not in text
    table.write_text("".join(whole).replace(",nv,", ",no such diagnosis,"), encoding="utf-8")
    with pytest.raises(DataError, match="no such diagnosis"):
        write_report(moved)


def test_a_report_reads_the_calibration_once(
    run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _calibrated(run, tmp_path / "calibrated")
    read: list[Path] = []

    def count(path: Path) -> Calibration:
        read.append(path)
        return read_calibration(path)

    monkeypatch.setattr(run_predictions, "read_calibration", count)
    write_report(RunFolder(tmp_path / "calibrated"))
    assert read == [RunFolder(tmp_path / "calibrated").calibration]


def test_a_stamp_is_shown(run: RunFolder, tmp_path: Path) -> None:
    leaky = RunFolder(tmp_path / "leaky")
    shutil.copytree(run.path, leaky.path)
    facts = {"fingerprint": "e" * 64, "images": {"train": 1}, "by": "image", "stamp": "LEAKY SPLIT"}
    write_json(leaky.split.with_suffix(".json"), facts)
    assert '<span class="stamp">LEAKY SPLIT</span>' in write_report(leaky).read_text(encoding="utf-8")


def test_given_predictions_get_a_report_without_training(drawn_folder: Path, tmp_path: Path) -> None:
    predictions = _predictions(pd.read_csv(drawn_folder / "HAM10000_metadata.csv"))
    given = RunFolder(tmp_path / "given")
    evaluation = evaluate_predictions(predictions, "theirs.csv", by="image")
    write_given(given, predictions, evaluation, {"source": "theirs.csv"})
    text = write_report(given).read_text(encoding="utf-8")
    assert "Predictions of theirs.csv" in text
    assert "The lesions are not known" in text
    assert "These predictions were scored as they are" in text
    assert 'id="training"' not in text
    assert "the folder holds predictions only" in text


def test_predictions_of_one_diagnosis_alone_get_a_report(drawn_folder: Path, tmp_path: Path) -> None:
    table = pd.read_csv(drawn_folder / "HAM10000_metadata.csv")
    predictions = _predictions(table[table["dx"] == "nv"])
    given = RunFolder(tmp_path / "given")
    write_given(given, predictions, evaluate_predictions(predictions, "nv.csv"), {"source": "nv.csv"})
    assert "not defined here" in (write_report(given).parent / "figures" / "roc-given.svg").read_text()


def _calibrated(run: RunFolder, path: Path, **choices: Any) -> str:
    """Return the page of a copy of the run that has logits and is calibrated on other predictions."""
    copy = RunFolder(path)
    shutil.copytree(run.path, copy.path)
    given = read_predictions(run.predictions("val"))
    assert given.y_true is not None
    logits = 0.4 * np.log(given.y_prob)
    write_predictions(replace(given, y_prob=softmax(logits), logits=logits), copy.predictions("val"))
    rng = np.random.default_rng(1)
    other = 0.4 * (rng.normal(size=logits.shape) + 1.5 * np.eye(7)[given.y_true])
    write_predictions(replace(given, y_prob=softmax(other), logits=other), copy.predictions("cal"))
    calibrate_run(copy, **choices)
    evaluate_part(copy, "val")
    return write_report(copy).read_text(encoding="utf-8")


def test_a_calibrated_run_says_what_its_probabilities_are_good_for(run: RunFolder, tmp_path: Path) -> None:
    text = _calibrated(run, tmp_path / "calibrated")
    figures = tmp_path / "calibrated" / "figures"
    assert {path.stem for path in figures.glob("*.svg")} >= {
        f"{name}-val" for name in (*FIGURES, "set-coverage")
    }
    assert set(pd.read_csv(figures / "reliability-val.csv")["stage"]) == {"before", "after"}
    assert "a perfectly calibrated model shows" in text
    assert "Rings: before calibration." in text
    assert "90 of 100 have it in the set of every one of their photographs" in text
    assert "the service uses the first one of each question" in text
    outline = _Outline()
    outline.feed(text)
    assert np.diff(outline.headings).max() <= 1
    assert outline.tables == outline.captions
    assert set(outline.targets) <= set(outline.ids)
    assert len(set(outline.ids)) == len(outline.ids)


def test_what_was_not_promised_is_named(run: RunFolder, tmp_path: Path) -> None:
    text = _calibrated(run, tmp_path / "bold", coverage=0.975, points=[("melanoma", "sensitivity", 0.995)])
    assert "and there are 13 of akiec, " in text
    assert "No diagnosis has a promise, because a promise needs 39 lesions" in text
    assert "97.5 of 100 have it in the set" in text
    assert "sensitivity 99.5 %" in text
    assert "too few lesions in cal" in text
    assert not (tmp_path / "bold" / "figures" / "set-coverage-val.svg").exists()


def test_what_makes_a_calibration_void_is_said(run: RunFolder, tmp_path: Path) -> None:
    sound = _calibrated(run, tmp_path / "sound")
    assert "Void in this run" not in sound
    assert "stopped at its limit" not in sound
    leaky = RunFolder(tmp_path / "sound")
    facts = {"fingerprint": "e" * 64, "images": {"train": 1}, "by": "image", "stamp": "LEAKY SPLIT"}
    write_json(leaky.split.with_suffix(".json"), facts)
    found = read_json(leaky.calibration)
    write_json(leaky.calibration, {**found, "scaling": {"method": "temperature", "temperature": 0.05}})
    text = write_report(leaky).read_text(encoding="utf-8")
    assert "Void in this run: lesions of <em>cal</em> were trained on." in text
    assert "The search stopped at its limit" in text


def test_a_run_without_calibration_still_shows_its_curves(page: str) -> None:
    assert "Can its confidence be believed?" in page
    assert "Answering only when sure" in page
    assert "What cannot be excluded" not in page


def test_test_scores_come_first_once_they_are_there(run: RunFolder, tmp_path: Path) -> None:
    final = RunFolder(tmp_path / "final")
    shutil.copytree(run.path, final.path)
    shutil.copy(final.predictions("val"), final.predictions("test"))
    evaluate_part(final, "test")
    text = write_report(final).read_text(encoding="utf-8")
    assert "balanced accuracy on test" in text
    assert "Other parts" in text
    assert (final.figures / "roc-test.svg").is_file()


def test_a_run_without_scores_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="was not evaluated yet"):
        write_report(RunFolder(tmp_path))


def test_the_gallery_has_missed_melanomas_first_and_the_surest_at_the_top() -> None:
    said = [(5, 0.6), (5, 0.9), (4, 0.8), (4, 0.99), (0, 0.7), (5, 0.95)]
    y_true = np.array([4, 4, 4, 5, 5, 0])
    y_prob = np.array([[p if c == index else (1 - p) / 6 for c in range(7)] for index, p in said])
    ids = np.array(list("abcdef"))
    table = misclassified_table(Predictions(ids, y_prob, y_true))
    assert table["image_id"].tolist() == ["b", "a", "d", "f", "e"]  # c is right
    assert table.iloc[0].to_dict() == {"image_id": "b", "true": "mel", "predicted": "nv", "confidence": 0.9,
                                       "true_probability": pytest.approx(0.1 / 6)}  # fmt: skip
    with pytest.raises(ValueError, match="y_true"):
        misclassified_table(Predictions(ids, y_prob))


def test_images_that_cannot_be_read_are_left_out(drawn_folder: Path, tmp_path: Path) -> None:
    good = next(drawn_folder.rglob("*.jpg"))
    (tmp_path / "bad.jpg").write_bytes(b"no image")
    found = thumbnails(["good", "bad", "lost"], {"good": good, "bad": tmp_path / "bad.jpg"})
    assert list(found) == ["good"]
    assert found["good"].startswith("data:image/jpeg;base64,/9j/")


def test_the_summary_says_what_the_numbers_say() -> None:
    y_true = np.repeat(np.arange(7), 20)
    said = y_true.copy()
    said[80:95] = 5  # of twenty melanomas fifteen are called nevi
    said[:5] = 1
    evaluation = evaluate(y_true, np.eye(7)[said] * 0.9 + 0.1 / 7, np.arange(140), resamples=50)
    baseline, melanomas, extremes = main_sentences(evaluation, None)
    assert "clearly better than always answering" in baseline
    assert "It calls 5 of 20 melanoma images melanoma" in melanomas
    assert "Of the 15 missed, 15 were called melanocytic nevus (nv)." in melanomas
    assert "and melanoma worst (mel, 25\N{NO-BREAK SPACE}% of 20)" in extremes
    reliability = pd.DataFrame({"images": [10, 10], "confidence": [0.9, 0.8], "accuracy": [0.7, 0.7]})
    assert main_sentences(evaluation, reliability)[3].startswith("Its stated confidence")
    assert audit_sentence(evaluation) is None


def test_the_summary_counts_one_image_in_the_singular() -> None:
    y_true = np.array([*np.repeat([0, 1, 2, 3, 5, 6], 3), 4])
    said = np.where(y_true == 4, 5, y_true)
    evaluation = evaluate(y_true, np.eye(7)[said] * 0.9 + 0.1 / 7, np.arange(19), resamples=50)
    melanomas = main_sentences(evaluation, None)[1]
    assert "It calls 0 of 1 melanoma image melanoma" in melanomas
    assert "The one that was missed was called melanocytic nevus (nv)." in melanomas


def test_diagnoses_that_are_never_recognised_are_named() -> None:
    y_true = np.repeat(np.arange(7), 20)
    said = np.where(np.isin(y_true, [0, 3, 6]), 5, y_true)
    evaluation = evaluate(y_true, np.eye(7)[said], np.arange(140), resamples=20)
    assert main_sentences(evaluation, None)[2].endswith("akiec, df and vasc never.")


def test_guessing_is_not_called_better_than_the_baseline() -> None:
    rng = np.random.default_rng(0)
    evaluation = evaluate(rng.permutation(np.arange(140) % 7), rng.dirichlet(np.ones(7), 140), np.arange(140))
    assert "not clearly better than" in main_sentences(evaluation, None)[0]


def test_a_score_too_good_asks_for_an_audit() -> None:
    y_true = np.arange(140) % 7
    evaluation = evaluate(y_true, np.eye(7)[y_true], np.arange(140), resamples=20)
    sentence = audit_sentence(evaluation)
    assert sentence is not None
    assert sentence.startswith("accuracy 1.000 and balanced accuracy 1.000 is more than honest")
    assert headline_part({"cal": evaluation, "val": evaluation}) == "val"
    assert headline_part({"val": evaluation, "test": evaluation}) == "test"
    assert headline_part({"given": evaluation}) == "given"
