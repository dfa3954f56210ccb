import json
from dataclasses import asdict
from pathlib import Path

import pytest

from conftest import make_recipe
from lesionwise.cli.experiments import describe_outcomes
from lesionwise.errors import RunError
from lesionwise.evaluation.scores.bootstrap import Estimate
from lesionwise.experiments.leakage import PROTOCOLS, SCORES, Measurement, Outcome, write_outcomes
from lesionwise.files import write_json, write_text
from lesionwise.report.leakage import leakage_table, plot_leakage, write_leakage_page
from lesionwise.run_folder import RunFolder


def outcome(protocol: str, own: float) -> Outcome:
    def measured(value: float) -> Measurement:
        return Measurement(200, 150, 0.67, dict.fromkeys(SCORES, Estimate(value, value - 0.05, value + 0.03)))

    leaky = protocol != "lesion-split"
    partial = Measurement(30, 30, 0.5, {"accuracy": Estimate(0.4, 0.3, 0.5)}, "only 3 diagnoses are left")
    clean = partial if protocol == "augmented" else measured(own - 0.1 * leaky)
    copies = 90 if protocol in {"resampled", "augmented"} else 0
    return Outcome(protocol, leaky, 800, 110 * leaky, copies, measured(own), clean, measured(0.41))


OUTCOMES = [outcome(name, 0.42 + 0.15 * number) for number, name in enumerate(PROTOCOLS)]


@pytest.fixture
def measured(tmp_path: Path) -> Path:
    folder = RunFolder(tmp_path / "seed-cnn")
    write_text(folder.config, make_recipe().to_toml())
    write_json(folder.leakage, {"seed": 0})
    write_outcomes(folder, OUTCOMES)
    return folder.path


def test_the_page_shows_every_score_and_stamps_what_leaks(measured: Path) -> None:
    page = write_leakage_page(measured).read_text(encoding="utf-8")
    assert page.count(">0.410 <span") == 2 * len(PROTOCOLS)
    assert page.count('<span class="stamp">LEAKY SPLIT') == 1 + 2 * 3
    assert "only 3 diagnoses are left" in page
    for title in PROTOCOLS.values():
        assert title in page
    assert page.count("commonest alone 0.670") == 4 + 2 + 4
    assert "<script" not in page


def test_the_figure_stamps_three_of_four_and_says_each_value(measured: Path) -> None:
    figure = plot_leakage(leakage_table(measured))
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert [name.endswith("LEAKY SPLIT") for name in names] == [False, True, True, True]
    shown = [text.get_text() for text in figure.axes[1].texts]
    assert shown == ["0.420", "0.570", "0.720", "0.870", *["0.410"] * 4]
    svg = (write_leakage_page(measured).parent / "leakage.svg").read_text(encoding="utf-8")
    assert svg.count("LEAKY SPLIT") == 3


def test_the_record_says_what_the_outcomes_say(measured: Path) -> None:
    record = json.loads(RunFolder(measured).leakage.read_text(encoding="utf-8"))
    assert record["seed"] == 0
    for stood, made in zip(record["outcomes"], OUTCOMES, strict=True):
        assert stood.pop("stamp") == ("LEAKY SPLIT" if made.leaky else None)
        assert stood == json.loads(json.dumps(asdict(made)))


def test_the_text_says_what_leaked_and_what_is_left() -> None:
    text = describe_outcomes(OUTCOMES)
    assert text.count("LEAKY SPLIT") == 3
    assert text.count("on lesions nobody saw") == 4
    assert text.count("on its clean rest") == 3
    assert (
        "110 (55%) show a lesion that was trained on, and 90 of them are copies of a training image" in text
    )
    assert "balanced accuracy 0.870 (0.820 to 0.900)" in text
    assert text.count("[commonest alone 0.670]") == 4 + 2 + 4
    assert "make the diagnoses equally common" in text


def test_a_folder_without_a_measurement_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"leakage\.json: cannot be read"):
        write_leakage_page(tmp_path)
