import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lesionwise.errors import DataError
from lesionwise.gallery.arrays import map_arrays, write_arrays

ARRAYS: dict[str, NDArray[Any]] = {
    "numbers": np.arange(12, dtype=np.float32).reshape(3, 4),
    "ends": np.array([0, 2, 5], np.int64),
    "letters": np.frombuffer(b"abcde", np.uint8),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_arrays(tmp_path / "some.safetensors", ARRAYS, {"about": "é"})
    return tmp_path / "some.safetensors"


def test_what_was_written_is_mapped_and_not_read(path: Path) -> None:
    arrays, record = map_arrays(path)
    assert record == {"about": "é"}
    assert all(np.array_equal(arrays[name], array) for name, array in ARRAYS.items())
    assert not arrays["numbers"].flags.writeable
    assert isinstance(arrays["numbers"].base, np.memmap)


def test_the_library_of_the_format_reads_it(path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.numpy")
    found = safetensors.load_file(path)
    assert all(np.array_equal(found[name], array) for name, array in ARRAYS.items())


@pytest.mark.parametrize("view", [np.s_[::-1], np.s_[:, ::2], np.s_[:, :, None]])
def test_a_view_is_written_by_its_values(tmp_path: Path, view: Any) -> None:
    values = np.asfortranarray(np.arange(12, dtype=np.float32).reshape(3, 4))[view]
    write_arrays(tmp_path / "views", {"view": values, "turned": values.T}, {})
    found, _ = map_arrays(tmp_path / "views")
    assert (found["view"] == values).all()
    assert (found["turned"] == values.T).all()


def test_a_file_of_the_library_is_read(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.numpy")
    safetensors.save_file(ARRAYS, tmp_path / "theirs.safetensors", {"about": "x"})
    arrays, record = map_arrays(tmp_path / "theirs.safetensors")
    assert record == {"about": "x"}
    assert np.array_equal(arrays["ends"], ARRAYS["ends"])


def test_a_file_that_is_cut_anywhere_is_refused(path: Path) -> None:
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match="damaged"):
            map_arrays(path)
    path.write_bytes(whole + b"more")
    with pytest.raises(DataError, match="another length"):
        map_arrays(path)


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "F32", "shape": [4], "data_offsets": [0, 12]},
        {"dtype": "F32", "shape": [4], "data_offsets": [-16, 0]},
        {"dtype": "F32", "shape": [-4], "data_offsets": [0, 16]},
        {"dtype": "F32", "shape": [2**62], "data_offsets": [0, 16]},
        {"dtype": "O", "shape": [2], "data_offsets": [0, 16]},
        {"dtype": "F32", "shape": "4", "data_offsets": None},
    ],
)
def test_places_and_shapes_that_do_not_fit_are_refused(tmp_path: Path, entry: dict[str, object]) -> None:
    header = json.dumps({"__metadata__": {}, "numbers": entry}).encode()
    path = tmp_path / "odd.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(16))
    with pytest.raises(DataError, match=r"odd.safetensors: is damaged"):
        map_arrays(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nothing: cannot be read: No such file"):
        map_arrays(tmp_path / "nothing")


def test_a_write_that_fails_leaves_the_file_as_it_was(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(KeyError):
        write_arrays(path, {"odd": np.zeros(2, np.complex64)}, {})
    assert path.read_bytes() == before
    assert [found.name for found in path.parent.iterdir()] == [path.name]
