"""`stability` of a run and of its bundle, from files to scores, report, card and bundle."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from conftest import Lesionwise, make_recipe
from lesionwise.bundle.description import image_digest
from lesionwise.bundle.load import read_bundle
from lesionwise.data.perturbations import HARMLESS
from lesionwise.errors import RunError
from lesionwise.evaluation.runs.calibrate import calibrate_run
from lesionwise.evaluation.runs.scores import evaluate_part
from lesionwise.evaluation.stability import read_stability
from lesionwise.execution import Execution
from lesionwise.export.run import export_run
from lesionwise.report.html import write_report
from lesionwise.report.model_card import write_model_card
from lesionwise.training.run import train


def test_the_stability_of_a_run_goes_into_scores_report_card_and_bundle(
    drawn_folder: Path, tmp_path: Path, lesionwise: Lesionwise
) -> None:
    here = Execution(cache_root=tmp_path / "cache")
    run = train(make_recipe(), drawn_folder, out=tmp_path / "run", execution=here)
    ended = lesionwise("stability", run.path, "--json", "--quiet")
    assert ended.code == 0, ended.err
    found = read_stability(run)
    assert found is not None
    assert json.loads(ended.out) == found.to_json()
    assert set(HARMLESS) | {"PNG"} <= set(found.changes)
    cal = pd.read_csv(run.split).query("part == 'cal'")
    assert (found.images, found.lesions) == (len(cal), cal["group"].nunique())

    with pytest.raises(RunError, match="was not evaluated yet"):
        write_report(run)

    evaluate_part(run, "val")
    assert read_stability(run) == found  # other scores leave it where it is
    assert 'id="stability"' in write_report(run).read_text(encoding="utf-8")
    table = pd.read_csv(run.figures / "stability-cal.csv")
    assert set(table["change"]) == set(found.changes)
    assert f"| JPEG 90 | {100 * found.changes['JPEG 90'].top.value:.1f} (" in write_model_card(run).read_text(
        encoding="utf-8"
    )

    bundle = export_run(run, tmp_path / "model.onnx", execution=here)
    claim = bundle.description.stability
    assert claim is not None
    assert claim.changes["mirrored"].top.value == found.changes["mirrored"].top.value
    assert sorted(claim.measured_on) == sorted(map(image_digest, cal["image_id"]))
    assert read_bundle(bundle.path).description.stability == claim

    again = lesionwise(
        "stability", bundle.path, "--data", drawn_folder, "--split", run.split, "--json", "--quiet"
    )
    assert json.loads(again.out) == found.to_json()

    changed = Path(shutil.copytree(drawn_folder, tmp_path / "changed"))
    one, other = (next(changed.rglob(f"{name}.jpg")) for name in cal["image_id"][:2])
    shutil.copy(one, other)
    for model in ([run.path], [bundle.path, "--split", run.split]):
        ended = lesionwise("stability", *model, "--data", changed, "--quiet")
        assert ended.code == 2
        assert "is not the data that the model was made with" in ended.err

    calibrate_run(run, coverage=0.8)
    assert read_stability(run) is None  # it was that of other decisions


@pytest.mark.parametrize("missing", [[], ["--data", "."]])
def test_a_bundle_needs_images_and_the_split_that_it_was_made_with(
    missing: list[str], lesionwise: Lesionwise
) -> None:
    ended = lesionwise("stability", "best", *missing)
    assert ended.code == 2
    assert "Pass --data and --split" in ended.err


def test_another_split_than_the_bundle_was_made_with_is_refused(
    drawn_folder: Path, tmp_path: Path, lesionwise: Lesionwise
) -> None:
    lesionwise("data", "split", drawn_folder, "--out", tmp_path / "split.csv")
    ended = lesionwise("stability", "best", "--data", drawn_folder, "--split", tmp_path / "split.csv")
    assert ended.code == 2
    assert "Pass the split that the model was made with" in ended.err
