from pathlib import Path

import pytest
import torch

from bundle.small_model import images
from conftest import make_recipe
from lesionwise.data.images import fit_image
from lesionwise.errors import RunError
from lesionwise.export.graph import Resample, Whole
from lesionwise.export.run import export_run, view
from lesionwise.files import write_text
from lesionwise.run_folder import RunFolder
from lesionwise.training.step.augment import evaluation_view


@pytest.mark.parametrize(
    "keys",
    [
        {"eval_zoom": 1.43, "eval_size": [20, 28]},
        {"eval_size": [16, 20]},
        {"eval_zoom": 1.3},
        {"eval_size": [40, 60]},
    ],
    ids=["cut and resized", "made smaller", "cut and made larger", "made larger"],
)
def test_the_view_of_the_bundle_is_that_of_evaluation(keys: dict[str, object]) -> None:
    recipe = make_recipe(**keys)
    pixels = torch.from_numpy(images(6))
    found = view(recipe)(pixels.permute(0, 3, 1, 2))
    seen = view(recipe)
    assert isinstance(seen, Resample)
    assert (found - evaluation_view(pixels, recipe)).abs().max() < 1e-5


def test_the_view_is_that_of_whole_matrices_and_multiplies_few_zeros() -> None:
    rows, columns = _lines(150, 208), _lines(220, 277)
    seen, pixels = Resample(rows, columns), torch.from_numpy(images(2, (208, 277))).permute(0, 3, 1, 2)
    whole = (rows / 255) @ pixels.float() @ columns.T
    assert (seen(pixels) - whole).abs().max() < 1e-6
    kept = sum(buffer.numel() for buffer in seen.buffers())
    assert kept < (rows.numel() + columns.numel()) / 2


def _lines(count: int, size: int) -> torch.Tensor:
    """Each line of a view as a mean of two neighbouring ones of the image."""
    first = torch.arange(count) * (size - 1) // count
    return (torch.eye(size)[first] + torch.eye(size)[first + 1]) / 2


def test_a_view_that_changes_nothing_costs_nothing() -> None:
    pixels, whole = torch.from_numpy(images(2)), view(make_recipe())
    assert isinstance(whole, Whole)
    assert whole(pixels.permute(0, 3, 1, 2)).equal(evaluation_view(pixels, make_recipe()))


def test_a_run_that_standardises_whole_parts_is_not_exported(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    write_text(run.config, make_recipe(defect_own_statistics=True).to_toml())
    with pytest.raises(RunError, match="standardises a whole part at once"):
        export_run(run, tmp_path / "model.onnx")


def test_an_unfinished_run_is_not_exported(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    write_text(run.config, make_recipe().to_toml())
    with pytest.raises(RunError, match=r"has no predictions-cal\.csv. Train it to its end first"):
        export_run(run, tmp_path / "model.onnx")


def test_pixels_decoded_elsewhere_are_left_alone_at_their_size() -> None:
    picture = images(1)[0]
    assert (fit_image(picture, picture.shape[:2]) == picture).all()
