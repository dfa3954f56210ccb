import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from conftest import Lesionwise, make_recipe
from lesionwise.bundle.engine import Engine
from lesionwise.errors import RecipeError, RunError
from lesionwise.evaluation.runs.ensemble import claim_ensemble_folder, make_ensemble
from lesionwise.evaluation.runs.scores import evaluate_part
from lesionwise.experiments.crossval import cross_validate
from lesionwise.experiments.image_facts import about_part
from lesionwise.experiments.reevaluate import reevaluate
from lesionwise.export.run import export_run
from lesionwise.files import read_json, write_text
from lesionwise.recipe import load_recipe
from lesionwise.report.model_card import write_model_card
from lesionwise.run_folder import RunFolder
from lesionwise.training.fit import load_best_network, predict_logits
from lesionwise.training.ledger import predict_test
from lesionwise.training.run import prepare_again, train


@pytest.fixture(scope="module")
def run(drawn_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return train(make_recipe(epochs=2), drawn_folder, out=tmp_path_factory.mktemp("runs") / "run")


def test_the_same_weights_see_another_view(run: RunFolder, tmp_path: Path) -> None:
    other = reevaluate(run.path, ["image_size=[48, 64]", "eval_zoom=1.25"], tmp_path / "other")
    recipe, data, _ = prepare_again(other)
    assert (recipe.image_size, recipe.eval_zoom) == ((48, 64), 1.25)
    assert recipe.model_copy(update={"image_size": (0, 0), "eval_zoom": 0}) == load_recipe(
        run.config
    ).model_copy(update={"image_size": (0, 0), "eval_zoom": 0})
    weights = [torch.load(each.best, weights_only=True)["state_dict"] for each in (run, other)]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())
    expected = predict_logits(
        load_best_network(other, recipe), recipe, data.pixels, data.rows("cal"), device="cpu"
    )
    said = pd.read_csv(other.predictions("cal")).filter(like="logit_").to_numpy()
    np.testing.assert_allclose(said, expected, atol=1e-4)
    before = pd.read_csv(run.predictions("cal")).filter(like="logit_").to_numpy()
    assert np.abs(said - before).max() > 1e-3
    assert other.predictions("val").is_file()
    assert not other.predictions("test").exists()
    assert read_json(other.calibration) != read_json(run.calibration)
    assert read_json(other.reread)["trained_with"] == {"image_size": [24, 32], "eval_zoom": 1.0}


def test_looks_at_test_are_counted_with_those_of_the_first_run(run: RunFolder, tmp_path: Path) -> None:
    other = reevaluate(run.path, ["tta=4"], tmp_path / "other")
    looks = [predict_test(each).number for each in (run, other)]
    assert looks[1] == looks[0] + 1


def test_near_ties_can_get_a_second_look_which_the_bundle_repeats(run: RunFolder, tmp_path: Path) -> None:
    single = reevaluate(run.path, ["eval_zoom=1.3"], tmp_path / "once")  # a view that cannot be cut evenly
    twice = reevaluate(run.path, ["eval_zoom=1.3", "second_look=2.5"], tmp_path / "twice")
    found, once = (
        pd.read_csv(each.predictions("cal")).filter(like="logit_").to_numpy() for each in (twice, single)
    )
    changed = np.abs(found - once).max(axis=1) > 1e-3
    assert 0 < changed.sum() < len(changed)
    engine = Engine(export_run(twice, tmp_path / "twice.onnx"), threads=1)
    assert engine.description.second_look == 2.5
    _, data, _ = prepare_again(twice)
    pixels = data.pixels[data.rows("cal")]
    np.testing.assert_allclose(engine.run(pixels)["logits"], found, atol=1e-3)
    np.testing.assert_allclose(engine.look(pixels)["logits"], once, atol=1e-3)


def test_an_ensemble_of_runs_that_look_twice_has_no_bundle(run: RunFolder, tmp_path: Path) -> None:
    twice = [reevaluate(run.path, [f"second_look={limit}"], tmp_path / f"twice-{limit}") for limit in (1, 2)]
    out = claim_ensemble_folder(tmp_path / "both")
    make_ensemble(twice, out)
    with pytest.raises(RunError, match=r"looks twice at near ties.*evaluate RUN --set second_look=0"):
        export_run(out, tmp_path / "both.onnx")


def test_what_is_trained_cannot_be_changed_afterwards(run: RunFolder, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"epochs, ema decides what is trained.*train the recipe again"):
        reevaluate(run.path, ["epochs=9", "ema=0.5", "tta=4"], tmp_path / "other")
    with pytest.raises(RecipeError, match="Expected --set to change"):
        reevaluate(run.path, [], tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_an_own_folder_and_trained_weights_are_needed(
    run: RunFolder, tmp_path: Path, lesionwise: Lesionwise
) -> None:
    with pytest.raises(RunError, match="is not empty"):
        reevaluate(run.path, ["tta=4"], run.path)
    bare = tmp_path / "bare"
    bare.mkdir()
    write_text(bare / "config.toml", run.config.read_text())
    ended = lesionwise("evaluate", bare, "--set", "tta=4", "--out", tmp_path / "other")
    assert ended.code == 2
    assert "has not finished training" in ended.err


def test_a_network_for_one_size_is_refused_at_another(drawn_folder: Path, tmp_path: Path) -> None:
    recipe = make_recipe(model="seed-mlp", epochs=1, image_size=(16, 24))
    dense = train(recipe, drawn_folder, out=tmp_path / "dense")
    with pytest.raises(RecipeError, match=r"seed-mlp needs other weights for images of \(24, 32\)"):
        reevaluate(dense.path, ["image_size=[24, 32]"], tmp_path / "other")
    assert not (tmp_path / "other").exists()
    other = reevaluate(dense.path, ["tta=4"], tmp_path / "other")
    with pytest.raises(RunError, match='made by "evaluate --set" itself'):
        reevaluate(other.path, ["tta=1"], tmp_path / "third")
    with pytest.raises(RunError, match='made by "evaluate --set" and cannot be trained further'):
        train(load_recipe(other.config), drawn_folder, out=other.path, resume=True)


def test_runs_that_read_alike_become_one_bundle(
    run: RunFolder, drawn_folder: Path, tmp_path: Path, lesionwise: Lesionwise
) -> None:
    larger = make_recipe(epochs=1, image_size=(48, 64))
    second = train(larger, drawn_folder, out=tmp_path / "second", split=run.split)
    unlike = claim_ensemble_folder(tmp_path / "unlike")
    make_ensemble([run, second], unlike)
    with pytest.raises(RunError, match="lesionwise evaluate RUN --set"):
        export_run(unlike, tmp_path / "unlike.onnx")
    ended = lesionwise("evaluate", run.path, "--set", "image_size=[48, 64]", "--out", tmp_path / "first")
    assert ended.code == 0, ended.err
    alike = claim_ensemble_folder(tmp_path / "alike")
    make_ensemble([RunFolder(tmp_path / "first"), second], alike)
    bundle = export_run(alike, tmp_path / "alike.onnx")
    assert bundle.description.input.size == (48, 64)
    assert lesionwise("evaluate", alike.path).code == 0
    assert read_json(alike.scores)["parts"]["val"]["subgroups"]
    assert lesionwise("report", alike.path, "--card").code == 0
    card = alike.model_card.read_text(encoding="utf-8")
    assert "the mean of those of 2 networks: small, small." in " ".join(card.split())
    assert card.count('    model = "small"') == 2
    assert "weights were trained with `image_size = [24, 32]` and are evaluated with" in " ".join(
        card.split()
    )
    made = bundle.description.provenance
    assert made
    assert [recipe.get("trained_with") for recipe in made.recipes] == [{"image_size": [24, 32]}, None]
    assert "Seed 0, 0, Python" in card
    assert lesionwise("report", alike.path).code == 0
    page = alike.report.read_text(encoding="utf-8")
    assert "The probabilities of 2 runs on one split were averaged: first, second." in page


def test_folds_are_predicted_and_calibrated_anew(drawn_folder: Path, tmp_path: Path) -> None:
    folds = cross_validate(make_recipe(epochs=1), drawn_folder, out=tmp_path / "folds", folds=[1, 2]).run
    other = reevaluate(folds.path, ["eval_zoom=1.5"], tmp_path / "other")
    assert read_json(other.cross_validation)["done"] == [1, 2]
    before, after = (pd.read_csv(each.predictions("out-of-fold")) for each in (folds, other))
    assert list(before["image_id"]) == list(after["image_id"])
    assert list(before["fold"]) == list(after["fold"])
    moved = before.filter(like="prob_").to_numpy() - after.filter(like="prob_").to_numpy()
    assert np.abs(moved).max() > 1e-3
    scores = [read_json(each.scores)["parts"]["out-of-fold"] for each in (folds, other)]
    assert scores[0] != scores[1]
    with pytest.raises(RunError, match='made by "evaluate --set"'):
        cross_validate(load_recipe(other.config), drawn_folder, out=other.path, folds=[3])


def test_the_card_of_an_ensemble_shows_its_folds_apart(drawn_folder: Path, tmp_path: Path) -> None:
    made: dict[str, list[RunFolder]] = {"folds": [], "runs": []}
    for width in (8, 12):
        recipe = make_recipe(epochs=1, batch_size=width)
        folds = cross_validate(recipe, drawn_folder, out=tmp_path / f"folds-{width}", folds=[1]).run
        made["folds"].append(folds)
        out = tmp_path / f"run-{width}"
        made["runs"].append(train(recipe, drawn_folder, out=out, split=folds.fold(1).split))
    both = {name: claim_ensemble_folder(tmp_path / name) for name in made}
    for name, members in made.items():
        make_ensemble(members, both[name])
    evaluate_part(both["folds"], "out-of-fold")
    evaluate_part(both["runs"], "val")
    with pytest.raises(RunError, match="cross-validates split"):
        write_model_card(both["runs"], folds=both["folds"])
    for folder, part in ((both["folds"], "out-of-fold"), (both["runs"], "val")):
        known, _ = about_part(folder, part)
        assert known is not None
        assert list(known["image_id"]) == list(pd.read_csv(folder.predictions(part))["image_id"])
    shutil.copyfile(both["folds"].split, both["runs"].split)
    shutil.copyfile(both["folds"].split_facts, both["runs"].split_facts)
    card = write_model_card(both["runs"], folds=both["folds"]).read_text(encoding="utf-8")
    assert "They are those of a model made the same way, each scored on a fold (1)" in " ".join(card.split())
    assert "| score | all folds as one |" in card
    with pytest.raises(RunError, match="combines cross-validations, which give no answers of their own"):
        write_model_card(both["folds"])
