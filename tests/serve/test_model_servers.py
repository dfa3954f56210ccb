"""Configurations of other servers for the bundle that ships; the servers themselves are not run."""

import json
import re
from pathlib import Path

import openvino
import pytest

from lesionwise.bundle.load import read_bundle

CONTAINER = Path(__file__).parents[2] / "container"
TRITON = (CONTAINER / "triton.pbtxt").read_text(encoding="utf-8")
KINDS = {"u8": "TYPE_UINT8", "f32": "TYPE_FP32"}


def test_triton_is_given_the_tensors_of_the_bundle() -> None:
    found = re.findall(r'name: "(\w+)" data_type: (\w+) dims: \[ (.*?) \]', TRITON)
    graph = openvino.Core().read_model(read_bundle().path)
    expected = {
        tensor.any_name: (KINDS[tensor.element_type.to_string()], list(shape_of(tensor)))
        for tensor in (*graph.inputs, *graph.outputs)
    }
    assert {name: (kind, [int(one) for one in dims.split(",")]) for name, kind, dims in found} == expected


def shape_of(tensor: openvino.Output) -> list[int]:
    return [-1 if side.is_dynamic else side.get_length() for side in tensor.partial_shape]


def test_triton_can_read_its_configuration() -> None:
    schema = pytest.importorskip("tritonclient.grpc.model_config_pb2", reason="tritonclient is not installed")
    text_format = pytest.importorskip("google.protobuf.text_format")
    read = text_format.Parse(TRITON, schema.ModelConfig())
    assert (read.name, read.backend, read.max_batch_size) == ("best", "onnxruntime", 0)
    assert [one.name for one in read.input] == ["image", "metadata"]


def test_openvino_model_server_s_schema_allows_its_configuration() -> None:
    """The rules are those of MODELS_CONFIG_SCHEMA in src/schema.cpp of the server (commit 033c8e4)."""
    read = json.loads((CONTAINER / "openvino-model-server.json").read_text(encoding="utf-8"))
    others = {"custom_loader_config_list", "pipeline_config_list", "custom_node_library_config_list"}
    assert {"model_config_list"} <= set(read) <= {"model_config_list", *others}
    optional = {
        *("batch_size", "model_version_policy", "shape", "nireq", "target_device", "plugin_config"),
        *("stateful", "idle_sequence_cleanup", "low_latency_transformation", "max_sequence_number"),
        "custom_loader_options",
    }
    for entry in read["model_config_list"]:
        assert set(entry) == {"config"}
        assert {"name", "base_path"} <= set(entry["config"]) <= {"name", "base_path", *optional}
        assert isinstance(entry["config"]["name"], str)
        assert isinstance(entry["config"]["base_path"], str)
    assert read["model_config_list"][0]["config"] == {"name": "best", "base_path": "/models/best"}
