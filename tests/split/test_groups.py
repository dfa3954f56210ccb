import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lesionwise.split.groups import CONFIRMED_PAIRS, kept_together, lesion_groups

Rows = list[tuple[str, str]]


def table(rows: Rows) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["image_id", "lesion_id"])


def slow_groups(rows: Rows, pairs: list[tuple[str, str]]) -> list[str]:
    """Merge groups one pair at a time until nothing changes."""
    group = {image: {lesion} for image, lesion in rows}
    changed = True
    while changed:
        changed = False
        for a in group:
            for b in group:
                linked = bool(group[a] & group[b]) or (a, b) in pairs or (b, a) in pairs
                if linked and group[a] != group[b]:
                    group[a] = group[b] = group[a] | group[b]
                    changed = True
    return [min(group[image]) for image, _ in rows]


def test_images_of_one_lesion_share_its_id() -> None:
    assert lesion_groups(table([("a", "L2"), ("b", "L1"), ("c", "L2")])).tolist() == ["L2", "L1", "L2"]


def test_a_confirmed_pair_joins_two_lesions_under_the_smaller_id() -> None:
    first, second = CONFIRMED_PAIRS[0]
    rows = [(first, "HAM_9"), (second, "HAM_3"), ("other", "HAM_5")]
    assert lesion_groups(table(rows)).tolist() == ["HAM_3", "HAM_3", "HAM_5"]


def test_there_are_eighteen_confirmed_pairs_of_different_images() -> None:
    assert len(CONFIRMED_PAIRS) == 18
    assert len({image for pair in CONFIRMED_PAIRS for image in pair}) == 36


def test_a_chain_of_pairs_is_one_group() -> None:
    rows = [("a", "L1"), ("b", "L2"), ("c", "L3"), ("d", "L4")]
    assert lesion_groups(table(rows), [("a", "b"), ("b", "c")]).tolist() == ["L1", "L1", "L1", "L4"]


def test_a_pair_with_an_unknown_image_is_passed_over() -> None:
    assert lesion_groups(table([("a", "L1")]), [("a", "nowhere")]).tolist() == ["L1"]


@given(st.data())
def test_groups_equal_those_of_a_slow_obvious_loop(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 12))
    rows = [(f"i{n}", f"L{data.draw(st.integers(0, 8))}") for n in range(count)]
    images = st.sampled_from([image for image, _ in rows])
    pairs = data.draw(st.lists(st.tuples(images, images), max_size=6))
    assert lesion_groups(table(rows), pairs).tolist() == slow_groups(rows, pairs)


def test_a_missing_column_is_refused() -> None:
    with pytest.raises(ValueError, match="Expected columns image_id and lesion_id but got image_id"):
        lesion_groups(pd.DataFrame({"image_id": ["a"]}))


def test_an_empty_lesion_id_is_refused() -> None:
    with pytest.raises(ValueError, match="1 is empty"):
        lesion_groups(pd.DataFrame({"image_id": ["a", "b"], "lesion_id": ["L1", None]}))


def test_what_a_split_keeps_together_is_joined_and_what_it_cuts_is_not() -> None:
    frame = pd.DataFrame(
        {"image_id": list("abcdefg"), "group": ["1", "1", "1", "2", "2", "", ""],
         "part": ["val", "val", "val", "train", "test", "cal", "cal"]}
    )  # fmt: skip
    assert set(kept_together(frame)) == {("a", "b"), ("a", "c")}
