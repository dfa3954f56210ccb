import json
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from bundle.conftest import MakeBundle
from bundle.small_model import CALIBRATION, describe
from lesionwise.bundle.load import CHECKSUM_KEY, KEY, open_content, read_bundle, seal, verify_servable
from lesionwise.bundle.onnx_file import metadata_entry
from lesionwise.errors import BundleError
from lesionwise.export.graph import Exported

onnx = pytest.importorskip("onnx")


def test_a_bundle_gives_back_its_description(make_bundle: MakeBundle) -> None:
    made = make_bundle(licence="CC BY-NC 4.0", card="# A card")
    found = read_bundle(made.path)
    assert found.description == made.description == describe(licence="CC BY-NC 4.0", card="# A card")
    assert found.description.calibration == CALIBRATION
    assert found.sha256 == sha256(made.path.read_bytes()).hexdigest()


def test_other_tools_read_it_as_plain_onnx(make_bundle: MakeBundle) -> None:
    model = onnx.load(make_bundle().path)
    onnx.checker.check_model(model)
    entries = {entry.key: entry.value for entry in model.metadata_props}
    assert list(entries) == [KEY, CHECKSUM_KEY]
    assert '"schema_version":1' in entries[KEY]


def test_a_bundle_names_no_file_of_the_machine_that_made_it(make_bundle: MakeBundle) -> None:
    content = make_bundle().content
    assert b"site-packages" not in content
    assert str(Path(__file__).parents[2]).encode() not in content


@pytest.mark.parametrize("place", [0, 1000, -300, -1])
def test_a_flipped_bit_is_found(make_bundle: MakeBundle, place: int) -> None:
    content = bytearray(make_bundle().content)
    content[place] ^= 1
    with pytest.raises(BundleError):
        open_content(bytes(content))


def test_a_cut_file_is_refused_by_name(make_bundle: MakeBundle) -> None:
    path = make_bundle().path
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(BundleError, match=r"model\.onnx: is .*damaged"):
        read_bundle(path)


def test_an_edited_number_is_refused(make_bundle: MakeBundle) -> None:
    content = make_bundle().content
    edited = content.replace(b'"threshold":0.2', b'"threshold":0.9')
    assert edited != content
    with pytest.raises(BundleError, match="changed after its export"):
        open_content(edited)


@pytest.mark.parametrize("what", [b"", b"\x89PNG\r\n\x1a\n" + b"0" * 200, b"PK\x03\x04" * 50])
def test_what_is_no_onnx_file_is_refused(what: bytes) -> None:
    with pytest.raises(BundleError, match=r"damaged|not a lesionwise bundle"):
        open_content(what)


def test_a_foreign_model_is_told_how_to_come_in(exported: Exported) -> None:
    with pytest.raises(BundleError, match=r'not a lesionwise bundle.*"lesionwise bundle import"'):
        open_content(exported.content)


def forge(exported: Exported, **changes: object) -> bytes:
    """A file whose checksum fits, with a description that nobody checked."""
    fields = {**json.loads(describe().model_dump_json(exclude_none=True)), **changes}
    content = exported.content + metadata_entry(KEY, json.dumps(fields).encode())
    return content + metadata_entry(CHECKSUM_KEY, sha256(content).hexdigest().encode())


def test_a_newer_schema_is_refused_as_such(exported: Exported) -> None:
    with pytest.raises(BundleError, match="schema 2, but this version of lesionwise reads schema 1"):
        open_content(forge(exported, schema_version=2, surprise=True))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": ("nv", "mel")}, '"classes".*Expected the order akiec'),
        ({"input": {"rule": "other", "height": 24, "width": 32}}, 'image rule "exif'),
        ({"input": {"steps": ["sharpen"], "height": 24, "width": 32}}, "input.steps.*sharpen"),
        ({"input": {"height": 24, "width": 33}}, r"expected the input image: uint8 \(any, 24, 33, 3\)"),
        ({"outputs": ("logits", "probabilities")}, "expected the outputs"),
        ({"outputs": ("probabilities",)}, "Expected probabilities, logits and others"),
        ({"surprise": 1}, '"surprise": Extra inputs'),
        ({"precision": "int3"}, '"precision"'),
        ({"name": ""}, '"name"'),
        ({"name": "\x1b[2Jsmall"}, r"without control characters but found '\\x1b'"),
        ({"name": "two\nlines"}, "one line"),
        ({"card": "fine\n\x1b]0;title\x07"}, r"control characters but found '\\x1b'"),
        ({"licence": "\u202eCC BY"}, "control characters"),
        ({"\x1b[31m": 1}, r'"\\x1b\[31m": Extra inputs'),
        ({"card": "x" * 2_000_000}, "too long"),
    ],
)
def test_a_description_that_does_not_fit_is_refused(
    exported: Exported, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(BundleError, match=message):
        open_content(forge(exported, **changes))


def test_two_descriptions_are_refused(exported: Exported) -> None:
    twice = seal(exported.content + metadata_entry(KEY, b"{}"), describe())
    with pytest.raises(BundleError, match="more than one description"):
        open_content(twice)


Change = Callable[[Any], None]


def _external_data(model: Any) -> None:
    weights = model.graph.initializer[0]
    weights.data_location = onnx.TensorProto.EXTERNAL
    weights.external_data.add(key="location", value="../../etc/passwd")
    weights.ClearField("raw_data")


def _external_constant(model: Any) -> None:
    _external_data(model)
    tensor = model.graph.initializer[0]
    node = model.graph.node.add(op_type="Constant", output=["unused"])
    node.attribute.add(name="value", type=onnx.AttributeProto.TENSOR).t.CopyFrom(tensor)
    del model.graph.initializer[0]


def _foreign_operator(model: Any) -> None:
    model.graph.node[0].domain = "com.example"


def _loop(model: Any) -> None:
    node = model.graph.node.add(op_type="Loop", output=["unused"])
    node.attribute.add(name="body", type=onnx.AttributeProto.GRAPH).g.name = "body"


def _function(model: Any) -> None:
    model.functions.add(name="f", domain="")


def _wrong_size(model: Any) -> None:
    weights = next(found for found in model.graph.initializer if found.raw_data)
    weights.dims[0] *= 1_000_000_000


def _sparse(model: Any) -> None:
    model.graph.sparse_initializer.add()


def _no_graph(model: Any) -> None:
    model.ClearField("graph")


def _same_output_twice(model: Any) -> None:
    model.graph.output.add().CopyFrom(model.graph.output[0])


def _foreign_operator_with_escapes(model: Any) -> None:
    model.graph.node[0].domain = "com\x1b[2J"


def _float_input(model: Any) -> None:
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT


def _six_classes(model: Any) -> None:
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_external_data, "keeps weights in another file"),
        (_external_constant, "keeps weights in another file"),
        (_foreign_operator, 'operator ".*" of "com.example"'),
        (_foreign_operator_with_escapes, r'of "com\\x1b\[2J"'),
        (_same_output_twice, 'two inputs or outputs with the name "probabilities"'),
        (_loop, 'uses "Loop" with a graph'),
        (_function, "functions or training graphs"),
        (_wrong_size, "do not have their stated size"),
        (_sparse, "sparse weights"),
        (_no_graph, "expected one graph but found 0"),
        (_float_input, r"but found the input image: float32 \(any, 24, 32, 3\)"),
        (_six_classes, "output probabilities with an unexpected shape"),
    ],
)
def test_what_a_bundle_never_has_is_refused_before_a_runtime_sees_it(
    exported: Exported, change: Change, message: str
) -> None:
    model = onnx.load_from_string(exported.content)
    change(model)
    with pytest.raises(BundleError, match=message):
        open_content(seal(model.SerializeToString(), describe()))


def test_a_missing_file_a_folder_and_a_device_are_refused(tmp_path: Path) -> None:
    for path, reason in (
        (tmp_path / "none.onnx", "there is no such file"),
        (tmp_path, "this is a folder"),
        (Path("/dev/null"), "this is a device or a pipe"),
    ):
        with pytest.raises(BundleError, match=f"expected a bundle.*{reason}"):
            read_bundle(path)


def test_a_leaky_bundle_is_read_but_not_served(make_bundle: MakeBundle) -> None:
    verify_servable(make_bundle())
    leaky = make_bundle(stamp="LEAKY SPLIT")
    with pytest.raises(BundleError, match="LEAKY SPLIT: it was trained on lesions that it was tested on"):
        verify_servable(leaky)


def test_a_thousand_mutants_are_all_refused(make_bundle: MakeBundle) -> None:
    assert fuzz(make_bundle().path, "as is") == {"refused": 1000}


@pytest.mark.slow
def test_mutants_with_a_checksum_that_fits_neither_crash_nor_hang(make_bundle: MakeBundle) -> None:
    found = fuzz(make_bundle().path, "resealed", 200)
    assert sum(found.values()) == 200
    assert set(found) == {"refused", "not built", "ran"}


def fuzz(path: Path, mode: str, trials: int = 1000) -> dict[str, int]:
    """How many mutants came how far, in a process of its own."""
    command = [sys.executable, str(Path(__file__).with_name("fuzz.py")), str(path), mode, str(trials)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1200, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return dict(json.loads(done.stdout))
