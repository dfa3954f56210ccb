"""The card of a drawn run: complete, honest about what is missing, without a trace of the machine."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from conftest import make_recipe
from lesionwise.errors import RunError
from lesionwise.evaluation.calibrate import calibrate_run
from lesionwise.evaluation.calibration import softmax
from lesionwise.evaluation.ood import fit_rejection, write_rejection
from lesionwise.evaluation.predictions import Predictions, read_predictions, write_predictions
from lesionwise.evaluation.run_scores import OUT_OF_FOLD, evaluate_part, read_check
from lesionwise.labels import CODES
from lesionwise.report.model_card import write_model_card
from lesionwise.run_folder import RunFolder, read_json, write_json, write_text

SECTIONS = (
    "What it is for", "Data and split", "Scores on val", "What its probabilities mean",
    "Pictures that are no lesion images", "Where it looks", "What breaks it", "Limits", "Licence",
    "How to make it again",
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


def test_a_run_without_scores_has_no_card(run: RunFolder) -> None:
    with pytest.raises(RunError, match=r"drawn-1: was not evaluated yet\. Run \"lesionwise evaluate"):
        write_model_card(run)


def test_every_section_stands_there_and_what_was_not_measured_says_so(run: RunFolder) -> None:
    scores = evaluate_part(run, "val")
    text = write_model_card(run).read_text(encoding="utf-8")
    assert [line[3:] for line in text.splitlines() if line.startswith("## ")] == list(SECTIONS)
    assert text.count("Not measured") == 4
    assert "Not calibrated." in text
    assert "The test part was not looked at." in text
    assert f"| balanced accuracy | {scores.overall['balanced_accuracy']} |" in text
    for code in CODES:
        assert f"| {code} | 10 | {scores.per_class[code]['recall']} |" in text
    assert "not a medical device" in text


def test_the_header_is_what_hubs_read(run: RunFolder) -> None:
    evaluate_part(run, "val")
    text = write_model_card(run, licence="cc-by-nc-4.0").read_text(encoding="utf-8")
    header = text.split("---\n")[1]
    assert text.startswith("---\n")
    assert "license: cc-by-nc-4.0\n" in header
    assert "pipeline_tag: image-classification\n" in header
    assert re.search(r"type: balanced_accuracy\n      value: 0\.\d{4}\n", header)
    assert "license:" not in write_model_card(run).read_text(encoding="utf-8")


def test_the_card_names_no_folder_of_the_machine(run: RunFolder) -> None:
    write_text(run.config, make_recipe(weights="/secret/first.safetensors").to_toml())
    environment = read_json(run.environment)
    command = environment["command"] + " --set weights=/secret/first.safetensors"
    write_json(run.environment, {**environment, "command": command})
    evaluate_part(run, "val")
    text = write_model_card(run).read_text(encoding="utf-8")
    assert "secret" not in text
    assert 'weights = "first.safetensors"' in text
    assert "lesionwise train small --data place --out run --set weights=first.safetensors\n" in text


def test_a_leaky_split_is_stamped(run: RunFolder) -> None:
    write_json(
        run.split.with_suffix(".json"), {"fingerprint": "b" * 64, "by": "image", "stamp": "LEAKY SPLIT"}
    )
    evaluate_part(run, "val")
    assert "**LEAKY SPLIT: lesions stand in training and in test." in write_model_card(run).read_text()


def test_promises_stand_as_they_were_made(run: RunFolder) -> None:
    right = np.eye(7)[np.arange(70) % 7]  # always, and hardly daring to say so
    given = read_predictions(run.predictions("val"))
    write_predictions(replace(given, y_prob=softmax(right), logits=right), run.predictions("cal"))
    calibrate_run(run, coverage=0.875)
    evaluate_part(run, "val")
    text = write_model_card(run).read_text(encoding="utf-8")
    assert "hold the diagnosis of 87.5 % of lesions, where `cal` has at least 7 of them:" in text
    assert "The search stopped at its limit" in text
    point = read_check(run, "val").points[0]
    found = (
        f"{value['value']:.3f} ({value['low']:.3f} to {value['high']:.3f})"
        for value in point["found"].values()
    )
    row = f"| {point['question']} | {point['aim']} ≥ {point['at_least']} | {' | '.join(found)} |"
    assert row in text.partition("What these thresholds gave on val:")[2]


def test_what_was_measured_of_outsiders_is_shown(run: RunFolder) -> None:
    rng = np.random.default_rng(0)
    drawn = rng.normal(size=(4, 50, 3))
    rejection = fit_rejection(drawn[0], drawn[1], cal_embedding=drawn[2], cal_appearance=drawn[3])
    write_rejection(rejection, run.rejection)
    kinds = [
        {"kind": "cats", "pictures": 9, "sources": 9, "auroc": "0.991 (0.950 to 1.000)", "rejected": 0.875}
    ]
    write_json(run.outsiders, {"kinds": kinds, "part": "val", "images": 70, "accepted": 0.9912})
    evaluate_part(run, "val")
    text = write_model_card(run).read_text(encoding="utf-8")
    assert f"Rejected from an `ood_score` of {rejection.cutoff:.3f} on" in text
    assert "| cats | 9 | 9 | 0.991 (0.950 to 1.000) | 88% |" in text
    assert "Of 70 lesion images in val 99.1% pass." in text


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
    with pytest.raises(RunError, match="are folds of split cccccccccccc, but the run's is bbbbbbbbbbbb"):
        write_model_card(run, folds=folds)


def test_folds_of_another_model_are_refused(run: RunFolder) -> None:
    evaluate_part(run, "val")
    with pytest.raises(RunError, match="folds: was cross-validated with seed-mlp, not small"):
        write_model_card(run, folds=folds_beside(run, model="seed-mlp"))
