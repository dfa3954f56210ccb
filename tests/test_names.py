import pytest
from hypothesis import given
from hypothesis import strategies as st

from lesionwise.names import image_id_of, match_names, shortest_names

PARTS = st.sampled_from(["a", "b", "c.jpg", "c.png", "1", "1.2"])
PATHS = st.lists(st.lists(PARTS, min_size=1, max_size=4).map("/".join), unique=True)


@pytest.mark.parametrize(
    ("name", "image_id"),
    [
        ("ISIC_0024306.jpg", "ISIC_0024306"),
        ("/abs/HAM10000_images_part_1/ISIC_0024306.JPG", "ISIC_0024306"),
        ("C:\\images\\one.png", "one"),
        ("1.2.840.113619.5", "1.2.840.113619.5"),
        ("1.2.840.dcm", "1.2.840"),
        (".jpg", ".jpg"),
    ],
)
def test_an_id_is_the_files_name_without_folder_and_image_suffix(name: str, image_id: str) -> None:
    assert image_id_of(name) == image_id


def test_a_shared_name_gets_the_shortest_end_of_the_path_that_tells() -> None:
    paths = ["x/a/1.jpg", "x/b/1.jpg", "y/b/1.jpg", "x/a/2.jpg", "x/a/2.png", "z.zip!a/3.jpg"]
    assert list(shortest_names(paths).values()) == ["a/1", "x/b/1", "y/b/1", "2.jpg", "2.png", "3"]
    assert shortest_names(["x/1.jpg"], taken=["1"]) == {"x/1.jpg": "1.jpg"}


@given(paths=PATHS)
def test_shortest_names_are_all_different_and_lead_back_to_their_paths(paths: list[str]) -> None:
    names = shortest_names(paths)
    assert len(set(names.values())) == len(paths)
    found = match_names(paths, list(names.values()))
    assert all(names[path] == name for path, name in found.items())


@given(paths=PATHS)
def test_tables_that_name_images_alike_match_completely(paths: list[str]) -> None:
    assert match_names(paths, paths[::-1]) == {path: path for path in paths}


def test_names_that_could_mean_two_images_match_none() -> None:
    assert match_names(["1"], ["a/1.jpg", "b/1.jpg"]) == {}
    assert match_names(["a/1.jpg", "b/1.jpg"], ["1"]) == {}
    assert match_names(["a/1", "b/1"], ["/x/a/1.jpg", "/x/b/1.jpg"]) == {
        "a/1": "/x/a/1.jpg",
        "b/1": "/x/b/1.jpg",
    }
    assert match_names(["a/1"], ["b/1"]) == {}
