"""Arrays in one file that is written whole and read by mapping it: the format of safetensors.

Eight bytes give the length of a JSON header, which gives kind, shape and place of each array; then come the
arrays. Nothing in such a file is ever run. Here: writing and mapping. Not here: what the arrays mean
(`gallery`).

References:
    The format: https://huggingface.co/docs/safetensors
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lesionwise.errors import DataError
from lesionwise.files import atomic_path

_KINDS: Final[dict[str, np.dtype[Any]]] = {
    "F32": np.dtype("<f4"),
    "I64": np.dtype("<i8"),
    "U8": np.dtype("u1"),
}
_LENGTH_BYTES: Final = 8
_ALIGNED: Final = 64  # bytes: every array begins on a line of the processor's cache
_MAX_HEADER_BYTES: Final = 100 << 20  # as other readers of the format have it
_METADATA: Final = "__metadata__"


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]], record: Mapping[str, str]) -> None:
    """Write arrays and a record of texts, whole or not at all.

    Args:
        arrays: Arrays of float32, int64 or uint8 by name.
    """
    header: dict[str, Any] = {_METADATA: dict(record)}
    names = {kind: name for name, kind in _KINDS.items()}
    end = 0
    ordered = sorted(arrays.items(), key=lambda item: -item[1].itemsize)  # so that none is out of line
    for name, array in ordered:
        start, end = end, end + array.nbytes
        kind = names[array.dtype.newbyteorder("<")]
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-(_LENGTH_BYTES + len(text)) % _ALIGNED)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(len(text).to_bytes(_LENGTH_BYTES, "little") + text)
        for _, array in ordered:
            file.write(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).data)


def map_arrays(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """Return the arrays of a file, which are read when they are used, and its record.

    Raises:
        DataError: If the file cannot be read, is of another format, or is not whole.
    """
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
            text = file.read(min(length, _MAX_HEADER_BYTES + 1))
        header = json.loads(text)
        record = header.pop(_METADATA)
        start = _LENGTH_BYTES + length
        content = np.memmap(path, np.uint8, "r")[start:] if header else np.empty(0, np.uint8)
        ends = {int(entry["data_offsets"][1]) for entry in header.values()}
        arrays = {str(name): _array(content, entry) for name, entry in header.items()}
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise DataError(f"{path}: is damaged or no safetensors file.") from error
    if len(content) != max(ends, default=0) or not all(isinstance(value, str) for value in record.values()):
        raise DataError(f"{path}: is damaged: it has another length than it states. Copy or make it again.")
    return arrays, record


def _array(content: NDArray[np.uint8], entry: Mapping[str, Any]) -> NDArray[Any]:
    """Return one array; a place or a shape that does not fit is a ValueError."""
    kind, shape = _KINDS[entry["dtype"]], [int(side) for side in entry["shape"]]
    start, end = entry["data_offsets"]
    if not 0 <= start <= end <= len(content) or min(shape, default=1) < 0:
        raise ValueError("Expected an array inside the file.")
    if end - start != kind.itemsize * math.prod(shape):
        raise ValueError("Expected as many bytes as the shape needs.")
    return np.ndarray(shape, kind, buffer=content[start:end])
