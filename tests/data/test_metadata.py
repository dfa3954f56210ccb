import numpy as np
import pytest
from pydantic import ValidationError

from conftest import make_recipe
from lesionwise.data.metadata import SITES, Encoding, Record, encoding_of
from lesionwise.errors import DataError

ALL = encoding_of(("age", "sex", "localization"))


def test_age_becomes_a_distance_and_a_flag_and_words_a_one_among_zeros() -> None:
    numbers = ALL.encode([{"age": 70, "sex": "male", "localization": "back"}])
    expected = [1.0, 1.0, 0.0, 1.0, *(float(site == "back") for site in SITES)]
    assert numbers.tolist() == [expected]
    assert ALL.length == len(expected)


@pytest.mark.parametrize(
    "record",
    [
        None,
        {},
        {"age": None, "sex": "", "localization": "unknown"},
        {"age": float("nan"), "sex": " Unknown ", "localization": None},
        {"dx": "mel", "dx_type": "histo"},
    ],
    ids=["none", "empty", "said so", "not a number", "other columns"],
)
def test_what_is_not_known_is_zero(record: dict[str, object] | None) -> None:
    assert not ALL.encode([record]).any()  # type: ignore[list-item]


def test_what_is_known_in_part_leaves_the_rest_at_zero() -> None:
    numbers = ALL.encode([{"age": "30"}, {"sex": "FEMALE"}])
    assert np.count_nonzero(numbers, axis=1).tolist() == [2, 1]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"localization": "nose"}, r'expected localization to be abdomen, acral, .* but got "nose"'),
        ({"sex": "f"}, r'expected sex to be female or male but got "f"'),
        ({"age": "old"}, 'expected age to be years from 0 to 120 but got "old"'),
        ({"age": -1}, "years from 0 to 120"),
        ({"age": 121}, "years from 0 to 120"),
        ({"age": "inf"}, "years from 0 to 120"),
        ({"sex": "x\x00\n" * 99}, r"x\?\?x\?\?"),
    ],
)
def test_a_value_that_the_model_does_not_know_is_refused_with_those_it_does(
    record: dict[str, object], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        ALL.encode([record])  # type: ignore[list-item]


def test_in_a_table_of_another_collection_odd_values_count_as_unknown() -> None:
    columns = {"sex": ["female", "x"], "localization": ["anterior torso", "back"]}
    numbers = ALL.encode_table(columns, 2)
    assert np.count_nonzero(numbers, axis=1).tolist() == [1, 1]


def test_odd_values_of_a_data_folder_can_be_left_out_of_its_records() -> None:
    records: list[Record] = [
        {"age": -1, "sex": "male", "localization": "anterior torso"},
        {"age": 40.0, "dx": "mel"},
    ]
    assert ALL.known(records) == [{"sex": "male"}, {"age": 40.0}]
    told = {name: [record.get(name) for record in records] for name in ALL.names}
    np.testing.assert_array_equal(ALL.encode(ALL.known(records)), ALL.encode_table(told, 2))


def test_an_encoding_survives_its_json() -> None:
    assert Encoding.model_validate_json(ALL.model_dump_json()) == ALL


@pytest.mark.parametrize("name", ["dx_type", "dataset"])
def test_what_tells_how_the_diagnosis_was_made_is_refused_by_name(name: str) -> None:
    with pytest.raises(ValidationError, match=f"{name} shows how the diagnosis was made"):
        make_recipe(metadata=["age", name])
    forged = ALL.model_dump_json().replace('"sex"', f'"{name}"')
    with pytest.raises(ValidationError):
        Encoding.model_validate_json(forged)


def test_a_column_named_twice_or_mixed_images_are_refused() -> None:
    with pytest.raises(ValidationError, match="names a column twice"):
        make_recipe(metadata=["age", "age"])
    with pytest.raises(ValidationError, match="cannot be mixed like images"):
        make_recipe(metadata=["age"], mixup=0.2)
