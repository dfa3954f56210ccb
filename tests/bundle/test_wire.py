import pytest

from lesionwise.bundle import wire
from lesionwise.errors import BundleError

onnx = pytest.importorskip("onnx")


def test_fields_are_those_that_protobuf_wrote() -> None:
    entry = onnx.StringStringEntryProto(key="key", value="value" * 100)
    written = entry.SerializeToString()
    assert [(number, bytes(value)) for number, value in wire.fields(memoryview(written))] == [
        (1, b"key"),
        (2, b"value" * 100),
    ]
    assert wire.bytes_field(1, b"key") + wire.bytes_field(2, b"value" * 100) == written


def test_packed_and_plain_numbers_are_read_alike() -> None:
    tensor = onnx.TensorProto(dims=[3, 300, 70_000])
    packed = tensor.SerializeToString()
    plain = b"\x08\x03\x08\xac\x02\x08\xf0\xa2\x04"
    assert wire.numbers(memoryview(packed), 1) == wire.numbers(memoryview(plain), 1) == [3, 300, 70_000]


@pytest.mark.parametrize(
    "damaged",
    [
        b"\x0a",  # a text without a length
        b"\x0a\x05abc",  # shorter than its length
        b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",  # longer than any file
        b"\x08" + b"\xff" * 11,  # a number without an end
        b"\x0b\x0c",  # a group, which nobody writes any more
        b"\x02\x00",  # a field without a number
        b"\x0d\x00\x00",  # half of four bytes
    ],
)
def test_what_is_no_message_is_refused(damaged: bytes) -> None:
    with pytest.raises(BundleError, match="is cut off or damaged"):
        list(wire.fields(memoryview(damaged)))


def test_a_text_that_is_not_utf8_is_refused() -> None:
    with pytest.raises(BundleError, match="is cut off or damaged"):
        wire.text(memoryview(wire.bytes_field(1, b"\xff\xfe")), 1)


def test_a_number_where_a_message_should_stand_is_refused() -> None:
    with pytest.raises(BundleError, match="is cut off or damaged"):
        list(wire.messages(memoryview(b"\x08\x03"), 1))
