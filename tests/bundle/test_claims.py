from pathlib import Path

from typer.testing import CliRunner

from lesionwise.bundle.claims import moved_claims
from lesionwise.cli.app import app
from lesionwise.evaluation.calibration.record import TemperatureScaling
from serve.drawn_model import calibration, describe, write_bundle


def test_a_model_has_not_moved_from_itself() -> None:
    assert moved_claims(describe(), describe()) == []


def test_every_claim_that_differs_is_named_with_both_values() -> None:
    new = describe(
        calibration=calibration(scaling=TemperatureScaling(temperature=2.0)), ood_cutoff=None, scores={}
    )
    moved = {row.claim: (row.old, row.new) for row in moved_claims(describe(), new)}
    assert moved["calibration.scaling.temperature"] == ("1.0", "2.0")
    assert moved["ood_cutoff"] == ("0.1", "none")
    assert moved["scores.test.overall.balanced_accuracy"] == ("0.7000 (0.6600 to 0.7400)", "none")
    assert not any(claim.startswith("calibration.operating_points") for claim in moved)


def test_a_threshold_is_named_by_its_question() -> None:
    (point,) = calibration().operating_points
    new = describe(calibration=calibration(operating_points=(point.model_copy(update={"threshold": 0.3}),)))
    (row,) = moved_claims(describe(), new)
    assert row == ("calibration.operating_points[melanoma sensitivity 0.9].threshold", "0.2", "0.3")


def test_the_command_tells_what_moved(tmp_path: Path) -> None:
    old = write_bundle(tmp_path / "old.onnx")
    new = write_bundle(tmp_path / "new.onnx", ood_cutoff=0.2)
    done = CliRunner().invoke(app, ["bundle", "show", str(new), "--against", str(old)])
    assert done.exit_code == 0
    assert "ood_cutoff" in done.output
    assert "0.1" in done.output
    same = CliRunner().invoke(app, ["bundle", "show", str(new), "--against", str(new)])
    assert "Nothing changed" in same.output
