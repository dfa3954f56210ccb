"""`explain` and `robustness` on a run of drawn images, and what report and card make of it."""

import io
import json
import re
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from conftest import WriteKaggle, make_recipe
from lesionwise.cli.app import app
from lesionwise.data.masks import ARCHIVE
from lesionwise.execution import Execution
from lesionwise.run_folder import RunFolder
from lesionwise.training.run import train


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, write_kaggle: WriteKaggle) -> RunFolder:
    folder = tmp_path_factory.mktemp("explained")
    data = write_kaggle(folder / "data")
    lesion = np.zeros((30, 40), np.uint8)
    lesion[8:22, 10:30] = 255
    buffer = io.BytesIO()
    Image.fromarray(lesion).save(buffer, "PNG")
    with zipfile.ZipFile(data / ARCHIVE, "w") as archive:
        for path in data.rglob("*.jpg"):
            archive.writestr(f"{path.stem}_segmentation.png", buffer.getvalue())
    return train(make_recipe(), data, out=folder / "run", execution=Execution(cache_root=folder / "cache"))


def _call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_maps_are_tested_drawn_and_shown_in_report_and_card(run: RunFolder) -> None:
    done = _call("explain", run.path, "--json", "--quiet")
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    images = len(pd.read_csv(run.predictions("val")))
    assert said["explanation"]["images"] == images
    area = said["explanation"]["pointing"]["area"]["value"]
    assert area == pytest.approx(14 * 20 / (30 * 40), rel=0.05)
    page = Path(said["page"]).read_text(encoding="utf-8")
    assert page.count("data:image/jpeg;base64,") >= said["images"] > 0
    assert len(pd.read_csv(run.overlays / "val.csv")) == images
    assert json.loads(run.explanation.read_text())["parts"]["val"] == said["explanation"]

    done = _call("robustness", run.path, "--device", "cpu", "--quiet")
    assert done.exit_code == 0, done.output
    assert "val, on changed photographs:" in done.stdout
    assert len(json.loads(run.robustness.read_text())["parts"]["val"]["changed"]) == 30
    assert _call("evaluate", run.path).exit_code == 0
    assert _call("report", run.path).exit_code == 0
    report = run.report.read_text(encoding="utf-8")
    assert "What it looked at" in report
    assert "What breaks it" in report
    assert _call("report", run.path, "--card").exit_code == 0
    card = run.model_card.read_text(encoding="utf-8")
    assert re.search(r"## Where it looks\n\n- ", card)
    said_on = "Ten changes of the photographs at three strengths, on `val`."
    assert re.search(rf"## What breaks it\n\n{re.escape(said_on)}\n\n- ", card)


def test_named_images_are_drawn_and_nothing_is_tested(run: RunFolder) -> None:
    name = pd.read_csv(run.predictions("val"))["image_id"].iloc[0]
    done = _call("explain", run.path, "--images", name, "--json", "--quiet")
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert (said["images"], said["explanation"]) == (1, None)
    refused = _call("explain", run.path, "--images", "NOBODY")
    assert refused.exit_code != 0
    assert "it has no NOBODY" in str(refused.exception)


def test_the_test_part_is_not_explained_before_it_was_looked_at(run: RunFolder) -> None:
    refused = _call("explain", run.path, "--part", "test")
    assert refused.exit_code != 0
    assert "was not evaluated yet" in str(refused.exception)
    assert not (run.overlays / "test.csv").exists()
