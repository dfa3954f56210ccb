from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from bundle.small_model import CALIBRATION, RECIPE, SIZE, describe, images, random_network, rejection
from conftest import make_recipe
from lesionwise.bundle.engine import Engine
from lesionwise.bundle.load import Bundle, open_content, seal
from lesionwise.data.images import fit_image
from lesionwise.errors import BundleError, RunError
from lesionwise.export.graph import BundleGraph, Member, Resample, Whole, to_onnx, verify_parity
from lesionwise.export.precision import in_half
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
    found = view(recipe)(pixels)
    seen = view(recipe)
    assert isinstance(seen, Resample)
    assert (found - evaluation_view(pixels, recipe)).abs().max() < 1e-5


def test_the_view_is_that_of_whole_matrices_and_multiplies_few_zeros() -> None:
    rows, columns = _lines(150, 208), _lines(220, 277)
    seen, pixels = Resample(rows, columns), torch.from_numpy(images(2, (208, 277)))
    whole = (rows / 255) @ pixels.permute(0, 3, 1, 2).float() @ columns.T
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
    assert whole(pixels).equal(evaluation_view(pixels, make_recipe()))


def test_a_run_that_standardises_whole_parts_is_not_exported(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    write_text(run.config, make_recipe(defect_own_statistics=True).to_toml())
    with pytest.raises(RunError, match="standardises a whole part"):
        export_run(run, tmp_path / "model.onnx")


def test_an_unfinished_run_is_not_exported(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    write_text(run.config, make_recipe().to_toml())
    with pytest.raises(RunError, match=r"has no predictions-cal\.csv. Finish its training first"):
        export_run(run, tmp_path / "model.onnx")


def test_pixels_decoded_elsewhere_are_left_alone_at_their_size() -> None:
    picture = images(1)[0]
    assert (fit_image(picture, picture.shape[:2]) == picture).all()


def small_graph() -> BundleGraph:
    return BundleGraph([Member(random_network(), view(RECIPE))], CALIBRATION.scaling, rejection()).eval()


@pytest.mark.parametrize("refused", [set(), {True}], ids=["present exporter", "earlier exporter"])
def test_weights_in_fp16_leave_the_view_as_it_is(refused: set[bool], monkeypatch: pytest.MonkeyPatch) -> None:
    member = Member(random_network(), Resample(_lines(150, 208), _lines(220, 277)))
    exporter_that_fails(monkeypatch, refused)
    full = to_onnx(BundleGraph([member], None).eval(), (208, 277)).content
    half = onnx.load_from_string(in_half(full))
    view_of = dict(member.view.named_buffers())
    exact = {weight.name: weight for weight in half.graph.initializer if weight.data_type == 1}
    for name, values in view_of.items():
        kept = [onnx.numpy_helper.to_array(exact[found]) for found in exact if found.endswith(f"view.{name}")]
        assert len(kept) == 1
        assert np.array_equal(kept[0], values.numpy())
    assert any(weight.name.endswith(".half") for weight in half.graph.initializer)


def exporter_that_fails(
    monkeypatch: pytest.MonkeyPatch, failing: set[bool], kind: type[Exception] = torch.onnx.OnnxExporterError
) -> None:
    """Let PyTorch's present (`dynamo`) or earlier exporter refuse every network, as both refuse some."""
    export = torch.onnx.export

    def refuse(*given: object, dynamo: bool, **named: object) -> object:
        if dynamo in failing:
            raised = torch.onnx.OnnxExporterError if dynamo else kind
            raise raised(f"no operator of dynamo={dynamo}\n## a long report")
        return export(*given, dynamo=dynamo, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(torch.onnx, "export", refuse)


def test_a_network_that_only_the_earlier_exporter_takes_answers_as_in_pytorch(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    graph = small_graph()
    exporter_that_fails(monkeypatch, {True})
    exported = to_onnx(graph, SIZE)
    content = seal(exported.content, describe(outputs=exported.outputs))
    engine = Engine(Bundle(tmp_path / "model.onnx", content, "0" * 64, open_content(content)))
    assert verify_parity(graph, engine) < 1e-4
    for number in (1, 3):
        assert len(engine.run(images(number, SIZE), None)["probabilities"]) == number


def test_a_bundle_whose_embedding_is_not_that_of_pytorch_is_refused(tmp_path: Path) -> None:
    graph = small_graph()
    exported = to_onnx(graph, SIZE)
    content = seal(exported.content, describe(outputs=exported.outputs))
    engine = Engine(Bundle(tmp_path / "model.onnx", content, "0" * 64, open_content(content)))
    right = engine.look
    half = {"embedding": 0.5}
    engine.look = lambda *given: {  # type: ignore[method-assign]
        name: value * half.get(name, 1) for name, value in right(*given).items()
    }
    with pytest.raises(BundleError, match=r"expected the embedding of PyTorch within 1% but it is off by"):
        verify_parity(graph, engine)


@pytest.mark.parametrize("kind", [torch.onnx.OnnxExporterError, AttributeError, AssertionError])
def test_a_network_that_no_exporter_takes_is_refused_with_both_reasons(
    monkeypatch: pytest.MonkeyPatch, kind: type[Exception]
) -> None:
    exporter_that_fails(monkeypatch, {True, False}, kind)
    both = "as ONNX: no operator of dynamo=True; nor can its earlier exporter: no operator of dynamo=False"
    with pytest.raises(BundleError, match=both) as found:
        to_onnx(small_graph(), SIZE)
    assert "long report" not in str(found.value)
