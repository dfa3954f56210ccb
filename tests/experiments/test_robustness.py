"""Changed photographs of a run's own data, from files to scores."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from conftest import NotedProgress, make_recipe
from lesionwise.cli.app import app
from lesionwise.data.images import fit_image
from lesionwise.data.perturbations import PERTURBATIONS, STRENGTHS, perturb
from lesionwise.errors import RunError
from lesionwise.evaluation.predictions import read_predictions
from lesionwise.evaluation.robustness import SCORES
from lesionwise.evaluation.runs.calibrate import calibrate_run
from lesionwise.evaluation.runs.ensemble import claim_ensemble_folder, make_ensemble
from lesionwise.evaluation.runs.predictions import read_run_predictions
from lesionwise.evaluation.scores.decision import accuracy_score
from lesionwise.execution import Execution
from lesionwise.experiments.reevaluate import reevaluate
from lesionwise.experiments.robustness import FRAME_PX, _read, perturbed_part
from lesionwise.files import write_json, write_text
from lesionwise.run_folder import RunFolder
from lesionwise.training.run import train


@pytest.fixture(scope="module")
def trained(drawn_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    folder = tmp_path_factory.mktemp("trained")
    return train(
        make_recipe(epochs=6),
        drawn_folder,
        out=folder / "run",
        execution=Execution(cache_root=folder / "cache"),
    )


def test_every_change_is_made_at_every_strength_and_held_against_the_plain_photographs(
    trained: RunFolder, tmp_path: Path
) -> None:
    noted = NotedProgress()
    found = perturbed_part(
        trained,
        "val",
        execution=Execution(device="cpu", cache_root=tmp_path, progress=noted),
    )
    assert [(row.name, row.strength) for row in found.changed] == [
        (name, strength) for name in PERTURBATIONS for strength in STRENGTHS
    ]
    changing = [state[1:] for state in noted.work if state[0] == "changing photographs"]
    assert changing == [(number * found.images, 30 * found.images) for number in range(1, 31)]
    stored = read_predictions(trained.predictions("val"))
    assert stored.y_true is not None
    assert stored.group is not None
    assert (found.images, found.lesions) == (len(stored.y_true), len(set(stored.group)))
    assert found.plain["accuracy"] == pytest.approx(accuracy_score(stored.y_true, stored.y_prob))
    assert min(row.same_answer for row in found.changed) < 1
    for row in found.changed:
        moved = row.scores["accuracy"] - found.plain["accuracy"]
        assert row.differences["accuracy"].value == pytest.approx(moved)


def test_a_model_that_is_told_more_is_told_it_and_calibrated_as_it_answers(
    drawn_folder: Path, tmp_path: Path
) -> None:
    recipe = make_recipe(epochs=3, metadata=["age", "sex", "localization"], calibration="vector")
    run = train(recipe, drawn_folder, out=tmp_path / "run", execution=Execution(cache_root=tmp_path))
    found = perturbed_part(run, "val", execution=Execution(device="cpu", cache_root=tmp_path))
    stored = read_run_predictions(run, "val")
    assert stored.y_true is not None
    expected = {name: float(score(stored.y_true, stored.y_prob, None)) for name, score in SCORES.items()}
    assert found.plain == pytest.approx(expected)


def test_an_ensemble_answers_for_changed_photographs_as_it_answers(
    trained: RunFolder, drawn_folder: Path, tmp_path: Path
) -> None:
    other = train(make_recipe(epochs=2), drawn_folder, out=tmp_path / "other", split=trained.split, seed=1)
    both = claim_ensemble_folder(tmp_path / "both")
    make_ensemble([trained, other], both)
    calibrate_run(both)
    found = perturbed_part(both, "val", execution=Execution(device="cpu", cache_root=tmp_path))
    stored = read_run_predictions(both, "val")
    assert stored.y_true is not None
    expected = {name: float(score(stored.y_true, stored.y_prob, None)) for name, score in SCORES.items()}
    assert found.plain == pytest.approx(expected)
    assert len(found.changed) == 30
    assert min(row.same_answer for row in found.changed) < 1


def test_members_share_changed_photographs_and_what_they_read_alike(
    trained: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution = Execution(cache_root=tmp_path)
    larger = reevaluate(trained.path, ["image_size=[36, 48]"], tmp_path / "larger", execution=execution)
    nearer = reevaluate(trained.path, ["eval_zoom=1.2"], tmp_path / "nearer", execution=execution)
    both = claim_ensemble_folder(tmp_path / "both")
    make_ensemble([trained, larger, nearer], both)
    calls: Counter[str] = Counter()

    def counted(function: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
        def counting(*args: object, **options: object) -> np.ndarray:
            calls[function.__name__] += 1
            return function(*args, **options)

        return counting

    for function in (perturb, fit_image):
        monkeypatch.setattr(f"lesionwise.experiments.robustness.{function.__name__}", counted(function))
    found = perturbed_part(both, "val", execution=Execution(device="cpu", cache_root=tmp_path))
    assert calls == {"perturb": 30 * found.images, "fit_image": 2 * 31 * found.images}
    stored = read_run_predictions(both, "val")
    assert stored.y_true is not None
    assert found.plain["accuracy"] == pytest.approx(accuracy_score(stored.y_true, stored.y_prob))


def test_an_ensemble_of_cross_validations_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    folds, both = RunFolder(tmp_path / "folds"), RunFolder(tmp_path / "both")
    write_json(folds.cross_validation, {"done": []})
    write_text(folds.config, make_recipe().to_toml())
    write_json(both.ensemble, {"members": [{"run": str(folds.path), "calibrated": False}]})
    write_text(both.config, "")
    before = set(tmp_path.rglob("*"))
    refused = CliRunner().invoke(app, ["robustness", str(both.path)])
    assert isinstance(refused.exception, RunError)
    assert "folds: is a cross-validation, and robustness is measured for one network" in str(
        refused.exception
    )
    assert set(tmp_path.rglob("*")) == before


def test_the_test_part_is_not_changed_before_it_was_looked_at(trained: RunFolder) -> None:
    with pytest.raises(
        RunError, match=r"its test part was not evaluated yet\. Run .lesionwise evaluate .* --final"
    ):
        perturbed_part(trained, "test", execution=Execution(device="cpu"))


@pytest.mark.parametrize(
    ("taken", "held"),
    [((1800, 2400), FRAME_PX), ((900, 900), (600, 600)), ((30, 40), (30, 40)), ((450, 600), FRAME_PX)],
)
def test_photographs_are_reduced_to_cover_the_frame_and_never_enlarged(
    taken: tuple[int, int], held: tuple[int, int], tmp_path: Path
) -> None:
    path = tmp_path / "photograph.jpg"
    Image.fromarray(np.full((*taken, 3), 120, np.uint8)).save(path)
    assert _read(path).shape == (*held, 3)
