"""The card of a drawn run: complete, honest about what is missing, without a trace of the machine."""

import re
import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from conftest import make_recipe
from lesionwise.cli.app import app
from lesionwise.errors import RunError
from lesionwise.evaluation.calibration.check import CalibrationCheck
from lesionwise.evaluation.calibration.record import softmax
from lesionwise.evaluation.predictions import Predictions, read_predictions, write_predictions
from lesionwise.evaluation.rejection import fit_members
from lesionwise.evaluation.robustness import measure_robustness
from lesionwise.evaluation.runs.calibrate import calibrate_run
from lesionwise.evaluation.runs.predictions import read_run_predictions
from lesionwise.evaluation.runs.scores import OUT_OF_FOLD, evaluate_part, read_check
from lesionwise.evaluation.scores.bootstrap import Estimate
from lesionwise.evaluation.scores.evaluate import PER_CLASS
from lesionwise.evaluation.scores.subgroups import SCORES
from lesionwise.files import read_json, write_json, write_part, write_text
from lesionwise.labels import CODES
from lesionwise.report.model_card import _making, write_model_card
from lesionwise.run_folder import RunFolder
from lesionwise.split.groups import CONFIRMED_PAIRS
from lesionwise.split.split_file import Split, write_split

SECTIONS = (
    "What it is for", "Data and split", "Scores on val", "What its probabilities mean",
    "Pictures that are no lesion images", "Where it looks", "What breaks it", "Stability", "Limits",
    "Licence", "How to make it again",
)  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    run = RunFolder(tmp_path / "runs" / "drawn-1")
    run.path.mkdir(parents=True)
    write_text(run.config, make_recipe().to_toml())
    write_json(run.data, {"folder": "/secret/place", "layout": "kaggle", "images": 70, "lesions": 70,
                          "fingerprint": "a" * 64, "seed": 3, "remarks": ["D005 two rows"]})  # fmt: skip
    write_json(run.split.with_suffix(".json"), {"fingerprint": "b" * 64, "by": "lesion"})
    command = "lesionwise train small --data /secret/place --out C:\\secret\\run"
    write_json(run.environment, {"command": command, "python": "3.12.1", "packages": {"lesionwise": "0.1.0"}})
    rng = np.random.default_rng(0)
    y, logits = np.arange(70) % 7, rng.normal(size=(70, 7))
    odds = np.exp(logits)
    names = np.array([f"IMAGE_{row}" for row in range(70)])
    predictions = Predictions(names, odds / odds.sum(axis=1, keepdims=True), y, names, logits)
    write_predictions(predictions, run.predictions("val"))
    return run


def test_an_ensemble_is_made_by_the_commands_of_its_members_and_their_origins(tmp_path: Path) -> None:
    first, reread, other, both = (RunFolder(tmp_path / name) for name in ("first", "again", "other", "both"))
    for step, command, python in (
        (first, "train best", "3.11.7"),
        (reread, "evaluate best --set eval_zoom=1.2", "3.11.7"),
        (other, "train large --out /secret/large", "3.12.3"),
        (both, "ensemble again large", "3.11.7"),
    ):
        packages = {"lesionwise": "0.1.0", "torch": "2.15.0"}
        record = {"command": f"lesionwise {command}", "python": python, "packages": packages}
        write_json(step.environment, record)
    write_json(reread.reread, {"of": str(first.path), "trained_with": {}})
    assert _making(both, [reread, other]) == {
        "commands": [
            "lesionwise train best",
            "lesionwise evaluate best --set eval_zoom=1.2",
            "lesionwise train large --out large",
            "lesionwise ensemble again large",
        ],
        "software": [
            "Python 3.11.7, lesionwise 0.1.0, torch 2.15.0",
            "Python 3.12.3, lesionwise 0.1.0, torch 2.15.0",
        ],
    }
    first.environment.unlink()
    assert _making(reread, [reread])["commands"] == ["lesionwise evaluate best --set eval_zoom=1.2"]


def test_a_run_without_scores_has_no_card(run: RunFolder) -> None:
    with pytest.raises(RunError, match=r"drawn-1: was not evaluated yet\. Run \"lesionwise evaluate"):
        write_model_card(run)


def test_every_section_stands_there_and_what_was_not_measured_says_so(run: RunFolder) -> None:
    scores = evaluate_part(run, "val")
    text = write_model_card(run).read_text(encoding="utf-8")
    assert [line[3:] for line in text.splitlines() if line.startswith("## ")] == list(SECTIONS)
    assert text.count("Not measured") == 5
    assert "Not calibrated." in text
    assert "No scores of the test part were measured." in text
    assert f"| balanced accuracy | {scores.overall['balanced_accuracy']} |" in text
    for code in CODES:
        row = next(line for line in text.splitlines() if line.startswith(f"| {code} | 10 |"))
        assert all(f" {scores.per_class[code][name]} |" in row for name in PER_CLASS)  # as a bundle claims
    assert "not a medical device" in text


def test_what_breaks_it_says_on_which_images(run: RunFolder) -> None:
    evaluate_part(run, "val")
    y = np.arange(70) % 7
    right = np.eye(7)[y]
    changes = [("blur", 1, right), ("blur", 2, np.roll(right, 1, axis=1))]
    found = measure_robustness(y, right, changes, np.arange(70).astype(str))
    for part, said in (("cal", "on `cal`, whose images fitted its calibration."), ("val", "on `val`.")):
        write_part(run.robustness, part, found)
        text = write_model_card(run).read_text(encoding="utf-8")
        assert f"Ten changes of the photographs at three strengths, {said}" in text
        assert "The first change to break it is blur at strength 2" in text


def test_the_header_is_what_hubs_read(run: RunFolder) -> None:
    evaluate_part(run, "val")
    text = write_model_card(run, licence="cc-by-nc-4.0").read_text(encoding="utf-8")
    header = text.split("---\n")[1]
    assert "Weights: CC BY-NC 4.0." in text
    assert text.startswith("---\n")
    assert "license: cc-by-nc-4.0\n" in header
    assert "pipeline_tag: image-classification\n" in header
    assert re.search(r"type: balanced_accuracy\n      value: 0\.\d{4}\n", header)
    assert "license:" not in write_model_card(run).read_text(encoding="utf-8")
    for spelled in ("CC-BY-NC-4.0", "CC BY-NC 4.0"):
        assert write_model_card(run, licence=spelled).read_text(encoding="utf-8") == text


@pytest.mark.parametrize(
    ("begun_with", "shown"),
    [
        ("--data /secret/place --out C:\\secret\\run", "--data place --out run"),
        ("--data ../secret/place --out ~/secret/run", "--data place --out run"),
        ("--set weights=/secret/first.st", "--set weights=first.st"),
        ('--set model_args={path="/secret/first.st"}', '--set model_args={path="first.st"}'),
        (shlex.join(["--data", "/secret of mine/a place"]), shlex.join(["--data", "a place"])),
        (shlex.join(["--set", 'path="/secret of mine/a"']), shlex.join(["--set", 'path="a"'])),
        ("--data it's --split benchmarks/split.csv", "--data it's --split benchmarks/split.csv"),
    ],
)
def test_the_card_names_no_folder_of_the_machine(run: RunFolder, begun_with: str, shown: str) -> None:
    write_text(run.config, make_recipe(weights="/secret/first.safetensors").to_toml())
    environment = read_json(run.environment)
    write_json(run.environment, {**environment, "command": f"lesionwise train small {begun_with}"})
    evaluate_part(run, "val")
    text = write_model_card(run).read_text(encoding="utf-8")
    assert "secret" not in text
    assert 'weights = "first.safetensors"' in text
    assert f"    lesionwise train small {shown}\n" in text


def test_a_leaky_split_is_stamped(run: RunFolder) -> None:
    write_json(
        run.split.with_suffix(".json"), {"fingerprint": "b" * 64, "by": "image", "stamp": "LEAKY SPLIT"}
    )
    evaluate_part(run, "val")
    assert "**LEAKY SPLIT: the same lesions are in training and in test." in write_model_card(run).read_text()


def calibrated(run: RunFolder, skill: float, *, lesions: int = 70, coverage: float = 0.9) -> CalibrationCheck:
    """Calibrate a run on its own val images, answered with some skill, and measure what that is worth."""
    y = np.arange(70) % 7
    logits = skill * np.eye(7)[y]
    given = read_predictions(run.predictions("val"))
    few = replace(given, y_prob=softmax(logits), logits=logits)
    write_predictions(few.take(np.arange(lesions)), run.predictions("cal"))
    calibrate_run(run, coverage=coverage)
    evaluate_part(run, "val")
    check = read_check(run, "val")
    assert check
    return check


def test_promises_stand_as_they_were_made(run: RunFolder) -> None:
    check = calibrated(run, 1.0, coverage=0.875)  # always right, and hardly daring to say so
    text = write_model_card(run).read_text(encoding="utf-8")
    assert "for each diagnosis by itself, that 87.5 % of its lesions have\nit in the set of every one" in text
    assert "The search stopped at its limit" in text
    assert "Each lesion counts once, and its\nphotographs share its vote." in text
    for point in check.points[:1]:
        found = (
            f"{value['value']:.3f} ({value['low']:.3f} to {value['high']:.3f})"
            for value in point["found"].values()
        )
        row = f"| {point['question']} | {point['aim']} ≥ {point['at_least']} | {' | '.join(found)} |"
        assert row in text.partition("What these thresholds gave on val:")[2]


def test_what_the_sets_are_worth_is_shown_with_what_a_kept_promise_gives(run: RunFolder) -> None:
    check = calibrated(run, 1.0)
    text = write_model_card(run).read_text(encoding="utf-8")
    for row in check.coverage:
        kept = f"{100 * row['low']:.0f} % to {100 * row['high']:.0f} % | {row['p_value']:.3f} |"
        counts = f"| {row['diagnosis']} | {row['cal_lesions']} | {row['lesions']} | {row['covered']} "
        assert f"{counts}({100 * row['coverage']:.0f} %) | {kept}" in text
    assert f"on average a set names {check.sizes['mean']:.1f} diagnoses; for" in text
    assert f"for {100 * check.sizes['single']:.0f} % of the images it names at most one.\n" in text
    broken = [row["diagnosis"] for row in check.coverage if row["coverage"] < row["low"]]
    assert f"**Not kept for {', '.join(broken)}.**" in text


def test_a_diagnosis_without_a_promise_is_named_with_the_reason(run: RunFolder) -> None:
    check = calibrated(run, 1.0, lesions=62)  # nine of each diagnosis, but eight of vasc
    text = write_model_card(run).read_text(encoding="utf-8")
    assert "vasc: 8 lesions in `cal`, but a promise needs 9. It has no promise and is in every set." in text
    assert text.count("It has no promise") == 1
    assert f"diagnoses, {check.sizes['mean_promised']:.1f} of them with a promise;" in text


def test_a_model_that_is_not_calibrated_is_said_to_be_so(run: RunFolder) -> None:
    check = calibrated(run, 1.0)  # which made it sure of itself, and it is right by chance
    assert check.band.verdict == "above"
    text = write_model_card(run).read_text(encoding="utf-8")
    assert (
        f"the ece is {check.band.value:.3f}; that of a perfectly calibrated model is\n"
        f"{check.band.low:.3f} to {check.band.high:.3f} in 95 of 100 cases. "
        "**This ece is larger: the model is not calibrated.**"
    ) in text
    for row in check.shares:
        excess = f"{100 * row['excess']:+.1f} ({100 * row['low']:+.1f} to {100 * row['high']:+.1f})"
        shares = f"{100 * row['stated']:.1f} % | {100 * row['found']:.1f} %"
        assert f"| {row['diagnosis']} | {shares} | {excess} |" in text


def test_a_calibrated_model_is_not_blamed(run: RunFolder) -> None:
    given = read_predictions(run.predictions("val"))
    write_predictions(replace(given, logits=np.zeros((70, 7)), y_prob=np.full((70, 7), 1 / 7)),
                      run.predictions("val"))  # fmt: skip
    check = calibrated(run, 0.0)
    assert check.band.verdict != "above"
    text = write_model_card(run).read_text(encoding="utf-8")
    assert "not calibrated" not in text
    assert "Off by more than chance" not in text


def test_groups_are_shown_with_their_size_and_scores(run: RunFolder) -> None:
    given = read_predictions(run.predictions("val"))
    table = pd.DataFrame({"image_id": given.image_id, "dx": np.array(CODES)[given.y_true],
                          "lesion_id": given.image_id, "sex": ["male", "female"] * 35,
                          "skin_tone": [60.0] * 65 + [-60.0] * 5})  # fmt: skip
    rows = evaluate_part(run, "val", table=table).subgroups
    section = write_model_card(run).read_text(encoding="utf-8").partition("### By subgroup")[2]
    assert "A gap is the score of a group less that of all others." in section
    assert "too few lesions for any score: on skin that looks dark" in section  # and no row of dashes
    for row, name in zip(rows[:2], ("of female patients", "of male patients"), strict=True):
        found = [Estimate(**row[score]) if row[score] else "too few" for score in SCORES]
        shown = f"| {name} | {row['images']} | {row['lesions']} | {found[0]} | {found[1]} | {found[2]}"
        assert shown in section


def test_known_pairs_explain_the_number_of_lesions(run: RunFolder) -> None:
    evaluate_part(run, "val")
    assert "pairs of photographs" not in write_model_card(run).read_text(encoding="utf-8")
    names = [*CONFIRMED_PAIRS[0], *CONFIRMED_PAIRS[1], CONFIRMED_PAIRS[2][0]]
    frame = pd.DataFrame({"image_id": names, "group": names, "part": "train", "fold": -1})
    write_split(Split(frame), run.split)
    assert "more lesion ids than that: 2 pairs of photographs are known to show one lesion" in (
        write_model_card(run).read_text(encoding="utf-8")
    )


def test_notes_of_the_makers_are_taken_over_as_they_are(
    run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "lesionwise.report.html.write_report", lambda found, **_: found.folder.report
    )  # has facts of no data
    evaluate_part(run, "val")
    plain = write_model_card(run).read_text(encoding="utf-8")
    assert "Notes of its makers" not in plain
    notes = "### What it costs\n\n{{ 26 }} minutes & <b>two</b> cores.\n\n- One seed.\n"
    (tmp_path / "notes.md").write_text(notes, encoding="utf-8")
    monkeypatch.setattr("lesionwise.report.model_card.load_evaluated", None)  # the run is loaded once
    done = CliRunner().invoke(app, ["report", "--card", str(run.path), "--notes", str(tmp_path / "notes.md")])
    assert done.exit_code == 0, done.output
    text = run.model_card.read_text(encoding="utf-8")
    assert text == plain.replace("## Limits\n", f"## Notes of its makers\n\n{notes}\n## Limits\n")


def test_what_was_measured_of_outsiders_is_shown(run: RunFolder) -> None:
    rng = np.random.default_rng(0)
    shutil.copy(run.predictions("val"), run.predictions("cal"))
    cal = read_run_predictions(run, "cal")
    drawn = {
        "train": 50,
        "cal": len(cal.image_id),
        "cal-changed": len(cal.image_id),
        "train-changed": 20,
        "outsiders": 40,
    }
    embeddings = {
        kind: rng.normal(size=(rows, 3)) + 2 * (kind == "outsiders") for kind, rows in drawn.items()
    }
    for kind, values in embeddings.items():
        np.save(run.embeddings(kind), values)
    rejection = fit_members([run])
    kinds = [
        {"kind": "cats", "pictures": 9, "sources": 9, "auroc": "0.991 (0.950 to 1.000)", "rejected": 0.875}
    ]
    passed = {
        "diagnoses": [{"kind": code, "pictures": 10, "accepted": 0.9} for code in ("akiec", "bcc")],
        "changed": [{"kind": "dusk", "pictures": 30, "accepted": 0.8}],
    }
    write_json(run.outsiders, {"kinds": kinds, "part": "val", "images": 70, "accepted": 0.9912, **passed})
    evaluate_part(run, "val")
    text = write_model_card(run).read_text(encoding="utf-8")
    assert f"A picture is rejected if its `ood_score` is {rejection.cutoff:.3f} or more" in text
    assert "No less than 95 % of each diagnosis" in text
    assert "| cats | 9 | 9 | 0.991 (0.950 to 1.000) | 88 % |" in text
    assert "Of the 70 lesion images in val, 99.1 % pass: akiec 90.0 %, bcc 90.0 %." in text
    assert "| dusk | 30 | 80.0 % |" in text


def folds_beside(run: RunFolder, **keys: object) -> RunFolder:
    """Return a cross-validation of two folds whose answers are those of a run on val."""
    folds = RunFolder(run.path.parent / "folds")
    folds.path.mkdir()
    write_text(folds.config, make_recipe(**keys).to_toml())
    write_json(folds.split.with_suffix(".json"), {"fingerprint": "b" * 64, "by": "lesion"})
    write_predictions(read_predictions(run.predictions("val")), folds.predictions(OUT_OF_FOLD))
    scores = evaluate_part(folds, OUT_OF_FOLD)
    each = {"mean": 0.5, "each": [0.4, 0.6]}
    write_json(
        folds.cross_validation, {"done": [1, 2], "mean_over_folds": dict.fromkeys(scores.overall, each)}
    )
    return folds


def test_scores_of_the_recipe_stand_apart_from_those_of_the_file(run: RunFolder) -> None:
    evaluate_part(run, "val")
    text = write_model_card(run, folds=folds_beside(run, epochs=3)).read_text(encoding="utf-8")
    section = text.partition("## The recipe out of fold")[2].partition("\n## ")[0]
    assert "2 models" in section
    assert "a fold (1, 2)" in section
    assert "They were made with `epochs = 3`." in section
    assert "| 0.500 | 0.4, 0.6 |" in section
    assert "The recipe out of fold" not in write_model_card(run).read_text(encoding="utf-8")


def test_folds_of_another_split_or_without_a_score_are_refused(run: RunFolder) -> None:
    evaluate_part(run, "val")
    folds = folds_beside(run)
    folds.scores.unlink()
    with pytest.raises(RunError, match="folds: has no finished fold yet"):
        write_model_card(run, folds=folds)
    write_json(folds.split.with_suffix(".json"), {"fingerprint": "c" * 64, "by": "image"})
    with pytest.raises(
        RunError, match="cross-validates split cccccccccccc, but the run's split is bbbbbbbbbbbb"
    ):
        write_model_card(run, folds=folds)


def test_folds_of_another_model_are_refused(run: RunFolder) -> None:
    evaluate_part(run, "val")
    with pytest.raises(RunError, match="folds: cross-validates seed-mlp, but the run uses small"):
        write_model_card(run, folds=folds_beside(run, model="seed-mlp"))
