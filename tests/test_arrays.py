from hypothesis import given
from hypothesis import strategies as st

from lesionwise.arrays import blocks


@given(st.integers(0, 100), st.integers(1, 40))
def test_blocks_cover_every_row_once_and_none_is_larger_than_asked_for(rows: int, size: int) -> None:
    parts = list(blocks(rows, size))
    assert [row for part in parts for row in range(part.start, part.stop)] == list(range(rows))
    assert all(0 < part.stop - part.start <= size for part in parts)
