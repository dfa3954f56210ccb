"""The parts of the report about maps and changed photographs: there where measured, and nowhere else."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from evaluation.simulation import simulate
from lesionwise.evaluation.robustness import measure_robustness
from lesionwise.evaluation.scores.bootstrap import Estimate
from lesionwise.explain.overlay import overlay_path
from lesionwise.explain.record import Explanation
from lesionwise.files import write_part
from lesionwise.report.trust import (
    explanation_facts,
    overlays,
    plot_robustness,
    robustness_facts,
    robustness_table,
)
from lesionwise.run_folder import RunFolder

if TYPE_CHECKING:
    from markupsafe import Markup

SAMPLE = simulate(100, skill=3)
ROBUSTNESS = measure_robustness(
    SAMPLE.y_true,
    SAMPLE.y_prob,
    [("blur", 1, SAMPLE.y_prob), ("blur", 2, np.roll(SAMPLE.y_prob, 1, axis=0)),
     ("hair", 1, SAMPLE.y_prob)],
    SAMPLE.groups,
    resamples=100,
)  # fmt: skip
SURE = Estimate(0.2, 0.1, 0.3)
NAMES = [f"{mode}-{order}" for mode in ("deletion", "insertion") for order in ("own", "random", "other")]
EXPLANATION = Explanation(
    method="cam", images=20, lesions=15, places=(6, 8), view=(96, 128), pointing=None, by_diagnosis={},
    curves={name: [0.9, 0.5, 0.2] for name in NAMES}, areas=dict.fromkeys(NAMES, SURE),
    gains={name: SURE for name in NAMES if not name.endswith("own")},
    cascade=[{"layers": "head", "similarity": SURE}, {"layers": "all layers", "similarity": SURE}],
    sample=20,
)  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path)


def test_what_was_not_measured_has_no_section_and_no_figure(run: RunFolder) -> None:
    drawn: dict[str, Markup] = {}
    assert explanation_facts(run, "val", drawn) is None
    assert robustness_facts(run, "val", drawn) is None
    assert drawn == {}
    assert not run.figures.exists()


def test_a_report_on_test_falls_back_to_what_was_measured_on_val_and_says_so(run: RunFolder) -> None:
    write_part(run.explanation, "val", EXPLANATION)
    write_part(run.robustness, "val", ROBUSTNESS)
    drawn: dict[str, Markup] = {}
    for facts in (explanation_facts(run, "test", drawn), robustness_facts(run, "test", drawn)):
        assert facts is not None
        assert facts["part"] == "val"
        assert facts["sentences"]
    assert set(drawn) == {"explanation-curves", "explanation-cascade", "robustness"}
    assert {path.name for path in run.figures.glob("robustness*")} == {
        "robustness-val.svg", "robustness-val.csv",
    }  # fmt: skip


def test_what_was_measured_on_the_part_itself_comes_first(run: RunFolder) -> None:
    for part in ("val", "test"):
        write_part(run.explanation, part, EXPLANATION)
        write_part(run.robustness, part, ROBUSTNESS)
    for facts in (explanation_facts(run, "test", {}), robustness_facts(run, "test", {})):
        assert facts is not None
        assert facts["part"] == "test"


def test_the_figure_has_a_panel_for_each_change_and_marks_what_is_beyond_chance() -> None:
    table = robustness_table(ROBUSTNESS)
    assert table[["change", "strength"]].to_numpy().tolist() == [["blur", 1], ["blur", 2], ["hair", 1]]
    assert (table["low_together"] <= table["low"]).all()
    panels = [axes for axes in plot_robustness(table).axes if axes.axison]
    assert [axes.get_title(loc="left") for axes in panels] == ["blur", "hair"]
    marks = [[line.get_marker() for line in axes.lines if line.get_marker() != "None"] for axes in panels]
    assert marks == [["s", "o"], ["s"]]


def test_a_whole_table_is_written_beside_the_figure(run: RunFolder) -> None:
    write_part(run.robustness, "val", ROBUSTNESS)
    robustness_facts(run, "val", {})
    written = pd.read_csv(run.figures / "robustness-val.csv")
    assert written["difference"].to_numpy() == pytest.approx(robustness_table(ROBUSTNESS)["difference"])


def test_only_maps_that_were_drawn_are_shown(run: RunFolder) -> None:
    path = overlay_path(run.overlays / "val", "ISIC_1", "colour")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"drawn")
    found = overlays(run, "val", ["ISIC_1", "ISIC_2"])
    assert list(found) == ["ISIC_1"]
    assert found["ISIC_1"].startswith("data:image/")
