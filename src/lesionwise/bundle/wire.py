"""The bytes of a protocol buffer, field by field, read without trusting them.

Here: reading a message, and writing the one kind of field that a bundle adds. Not here: the fields of an ONNX
file (`onnx_file`).

References:
    https://protobuf.dev/programming-guides/encoding
"""

from collections.abc import Iterator
from typing import Final

from lesionwise.errors import BundleError

_VARINT, _BYTES = 0, 2  # kinds of fields
_FIXED_LENGTH: Final = {1: 8, 5: 4}  # bytes of the other kinds
_VARINT_BITS: Final = 64
_CUT_OFF: Final = "is cut off or damaged"


def fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield number and value of each field: a number for a varint, else the bytes, not copied.

    Raises:
        BundleError: If they are not such fields to their very end.
    """
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        number, kind = tag >> 3, tag & 7
        if number == 0:
            raise BundleError(_CUT_OFF)
        if kind == _VARINT:
            value, place = _varint(message, place)
            yield number, value
            continue
        if kind == _BYTES:
            length, place = _varint(message, place)
        elif kind in _FIXED_LENGTH:
            length = _FIXED_LENGTH[kind]
        else:
            raise BundleError(_CUT_OFF)
        if length > len(message) - place:
            raise BundleError(_CUT_OFF)
        yield number, message[place : place + length]
        place += length


def messages(message: memoryview, number: int) -> Iterator[memoryview]:
    """Yield the messages, texts or packed numbers that stand under a field number.

    Raises:
        BundleError: If the field holds something else, or the bytes are damaged.
    """
    for found, value in fields(message):
        if found == number:
            if isinstance(value, int):
                raise BundleError(_CUT_OFF)
            yield value


def last(message: memoryview, number: int) -> memoryview:
    """Return the last value of a field, which is the one that counts; empty if there is none."""
    return next(iter([*messages(message, number)][-1:]), memoryview(b""))


def text(message: memoryview, number: int) -> str:
    """Return the text of a field; empty if there is none."""
    try:
        return str(last(message, number), "utf-8")
    except UnicodeDecodeError as error:
        raise BundleError(_CUT_OFF) from error


def numbers(message: memoryview, number: int) -> list[int]:
    """Return the whole numbers of a repeated field, packed or not."""
    found: list[int] = []
    for name, value in fields(message):
        if name != number:
            continue
        if isinstance(value, int):
            found.append(value)
            continue
        place = 0
        while place < len(value):
            unpacked, place = _varint(value, place)
            found.append(unpacked)
    return found


def bytes_field(number: int, value: bytes) -> bytes:
    """Return a field that holds bytes, a text or a message."""
    return _to_varint(number << 3 | _BYTES) + _to_varint(len(value)) + value


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, _VARINT_BITS, 7):
        if place >= len(message):
            break
        byte = message[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004 (the eighth bit is set if another byte follows)
            return value, place
    raise BundleError(_CUT_OFF)


def _to_varint(value: int) -> bytes:
    written = bytearray()
    while value > 0x7F:  # noqa: PLR2004 (seven bits a byte)
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value)
    return bytes(written)
