"""The content of an ONNX file, read before any runtime opens it.

Here: its metadata entries, its inputs and outputs, and the refusal of what a bundle never has: data in other
files, foreign operators, code in branches and loops. Not here: the description (`description`), and running
it (`engine`). The package `onnx` could read it too, but would add 31 MB to every install.

References:
    https://github.com/onnx/onnx/blob/main/onnx/onnx.proto (the field numbers)
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from typing import Final

from lesionwise.bundle import wire
from lesionwise.bundle.texts import printable
from lesionwise.errors import BundleError

METADATA: Final = 14  # of ModelProto: entries of key and value
UINT8: Final = 2  # TensorProto.DataType
FLOAT: Final = 1
_KINDS: Final = {FLOAT: "float32", UINT8: "uint8"}
_GRAPH, _TRAINING, _FUNCTIONS = 7, 20, 25  # of ModelProto
_NODES, _WEIGHTS, _SPARSE_WEIGHTS, _INPUTS, _OUTPUTS = 1, 5, 15, 11, 12  # of GraphProto
_OPERATOR, _ATTRIBUTES, _DOMAIN = 4, 5, 7  # of NodeProto
_TENSORS, _GRAPHS, _SPARSE_TENSORS = (5, 10), (6, 11), (22, 23)  # of AttributeProto
_DIMS, _TYPE, _RAW, _ELSEWHERE, _PLACE = 1, 2, 9, 13, 14  # of TensorProto
_ITEM_BYTES: Final = {1: 4, 2: 1, 3: 1, 6: 4, 7: 8, 9: 1, 10: 2, 11: 8, 16: 2}  # by TensorProto.DataType
_OWN_DOMAINS: Final = ("", "ai.onnx")


@dataclass(frozen=True)
class Port:
    """An input or output of a graph.

    Attributes:
        kind: Kind of its numbers, as `TensorProto.DataType`; 0 if it is no tensor.
        sides: Length of each side; None where it is left open.
    """

    kind: int
    sides: tuple[int | None, ...]

    def __str__(self) -> str:
        sides = ", ".join("any" if side is None else str(side) for side in self.sides)
        return f"{_KINDS.get(self.kind, f'kind {self.kind}')} ({sides})"


@dataclass(frozen=True)
class Ports:
    """All inputs and outputs by name."""

    inputs: dict[str, Port]
    outputs: dict[str, Port]


def read_metadata(content: bytes) -> list[tuple[str, memoryview]]:
    """Return the metadata entries of an ONNX file in their order."""
    entries = wire.messages(memoryview(content), METADATA)
    return [(wire.text(entry, 1), wire.last(entry, 2)) for entry in entries]


def metadata_entry(key: str, value: bytes) -> bytes:
    """Return a metadata entry that can be put behind any ONNX file."""
    return wire.bytes_field(METADATA, wire.bytes_field(1, key.encode()) + wire.bytes_field(2, value))


def verify_self_contained(content: bytes) -> Ports:
    """Make sure that an ONNX file is one plain graph with all its weights inside, and return its ports.

    Raises:
        BundleError: If it is damaged or needs anything else; the message does not name the file.
    """
    model = memoryview(content)
    graphs = list(wire.messages(model, _GRAPH))
    if len(graphs) != 1:
        raise BundleError(f"expected one graph but found {len(graphs)}")
    if any(number in (_TRAINING, _FUNCTIONS) for number, _ in wire.fields(model)):
        raise BundleError("has functions or training graphs of its own, which a bundle never has")
    graph = graphs[0]
    for number, value in wire.fields(graph):
        if isinstance(value, int):
            continue
        if number == _NODES:
            _verify_node(value)
        elif number == _WEIGHTS:
            _verify_tensor(value)
        elif number == _SPARSE_WEIGHTS:
            raise BundleError("holds sparse weights, which a bundle never has")
    return Ports(_ports(wire.messages(graph, _INPUTS)), _ports(wire.messages(graph, _OUTPUTS)))


def _verify_node(node: memoryview) -> None:
    domain, operator = wire.text(node, _DOMAIN), printable(wire.text(node, _OPERATOR))
    if domain not in _OWN_DOMAINS:
        raise BundleError(f'uses the operator "{operator}" of "{printable(domain)}", which is not of ONNX')
    for attribute in wire.messages(node, _ATTRIBUTES):
        for number, value in wire.fields(attribute):
            if number in _GRAPHS or number in _SPARSE_TENSORS:
                raise BundleError(
                    f'uses "{operator}" with a graph or sparse numbers inside, which a bundle never does'
                )
            if number in _TENSORS and not isinstance(value, int):
                _verify_tensor(value)


def _verify_tensor(tensor: memoryview) -> None:
    place = wire.numbers(tensor, _PLACE)
    if any(place) or any(number == _ELSEWHERE for number, _ in wire.fields(tensor)):
        raise BundleError("keeps weights in another file. Export it as one file, without external data")
    kinds, dims = wire.numbers(tensor, _TYPE), wire.numbers(tensor, _DIMS)
    raw = wire.last(tensor, _RAW)
    size = _ITEM_BYTES.get(kinds[-1] if kinds else 0)
    if len(raw) and size is not None and prod(dims) * size != len(raw):
        raise BundleError("is damaged: some weights do not have their stated size")


def _ports(infos: Iterable[memoryview]) -> dict[str, Port]:
    found: dict[str, Port] = {}
    for info in infos:
        tensor = wire.last(wire.last(info, 2), 1)
        kinds = wire.numbers(tensor, 1)
        sides = [wire.numbers(dim, 1) for dim in wire.messages(wire.last(tensor, 2), 1)]
        name = wire.text(info, 1)
        if name in found:
            raise BundleError(f'has two inputs or outputs with the name "{printable(name)}"')
        found[name] = Port(kinds[-1] if kinds else 0, tuple(side[-1] if side else None for side in sides))
    return found
