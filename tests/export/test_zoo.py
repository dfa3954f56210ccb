"""Files that other tools wrote, each with what it answered there; `zoo/make.py` made them."""

import json
import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lesionwise import load_model
from lesionwise.errors import BundleError
from lesionwise.evaluation.calibration.record import softmax
from lesionwise.labels import CODES

pytest.importorskip("onnx")
from lesionwise.export.foreign import Conventions, import_model

ZOO = Path(__file__).parent / "zoo"
NOTES: dict[str, Any] = {
    name: note
    for tool in ("keras", "tensorflow", "torch")
    for name, note in json.loads((ZOO / f"{tool}.json").read_text(encoding="utf-8")).items()
}
KERAS = find_spec("keras") is not None and os.environ.get("KERAS_BACKEND", "torch") == "torch"


def pictures(height: int, width: int) -> NDArray[np.uint8]:
    """The three pictures that the tools answered for."""
    coarse = np.random.default_rng(7).integers(0, 256, (3, -(-height // 4), -(-width // 4), 3), np.uint8)
    return coarse.repeat(4, 1).repeat(4, 2)[:, :height, :width]


def conventions_of(note: dict[str, Any]) -> Conventions:
    """What the maker of a file says about it."""
    return Conventions(
        classes=CODES,
        gives=note["gives"],
        divide=note["divide"],
        mean=(note["mean"][0], note["mean"][1], note["mean"][2]),
        std=(note["std"][0], note["std"][1], note["std"][2]),
        channels=note.get("channels", "rgb"),
        size=(note["size"][0], note["size"][1]) if "size" in note else None,
        recipe=note.get("recipe"),
    )


def answers_of(note: dict[str, Any]) -> NDArray[np.float64]:
    """What a file answered in its own tool, as probabilities."""
    answers = np.array(note["answers"])
    return softmax(answers) if note["gives"] == "logits" else answers


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(NOTES))
@pytest.mark.filterwarnings("ignore")  # those of Keras and of PyTorch's exporter
def test_a_file_answers_as_in_its_own_tool_or_is_refused_with_the_reason(name: str, tmp_path: Path) -> None:
    note, out = NOTES[name], tmp_path / "out.onnx"
    if Path(name).suffix in {".h5", ".keras"} and not KERAS:
        pytest.skip("the extra [keras] is not installed")
    if "refused" in note:
        with pytest.raises(BundleError, match=f"(?s){name}: was not imported: .*{note['refused']}") as caught:
            import_model(ZOO / name, out, conventions_of(note), name="theirs")
        assert len(str(caught.value)) < 900
        assert not out.exists()
        return
    import_model(ZOO / name, out, conventions_of(note), name="theirs")
    engine = load_model(out, threads=1)
    found = engine.predict(list(pictures(*engine.description.input.size))).probabilities
    assert np.abs(found - answers_of(note)).max() < note.get("tolerance", 1e-4)


def test_the_zoo_is_small_and_complete() -> None:
    files = [path for path in ZOO.rglob("*") if path.is_file() and path.suffix != ".py"]
    assert sum(path.stat().st_size for path in files) < 3_500_000
    assert len(NOTES) >= 40
    assert all((ZOO / name).exists() for name in NOTES)
