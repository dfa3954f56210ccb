"""A score on images that made the model is found and stamped."""

from dataclasses import replace

import numpy as np
import pytest

from bundle.small_model import describe
from lesionwise.bundle.description import Provenance, image_digest
from lesionwise.bundle.engine import load_model
from lesionwise.bundle.load import SHIPPED, read_bundle
from lesionwise.bundle.seen import digests_of_seen, seen_images, shipped_description
from lesionwise.data.known_lesions import known_lesions, reference_parts
from lesionwise.evaluation.predictions import Model, Predictions
from lesionwise.split.groups import lesion_groups

PARTS = reference_parts()


def predictions(image_ids: list[str], groups: list[str] | None = None) -> Predictions:
    prob = np.full((len(image_ids), 7), 1 / 7)
    return Predictions(np.array(image_ids), prob, group=None if groups is None else np.array(groups))


def of_part(*parts: str) -> list[str]:
    return [image for image, part in PARTS.items() if part in parts]


def provenance(**changes: object) -> Provenance:
    base = {"data_fingerprint": "0" * 64, "split_fingerprint": "1" * 64, "images": 10_015, "lesions": 7_452}
    return Provenance.model_validate({**base, "recipes": (), "seeds": (), "checkpoints": (), **changes})


@pytest.mark.parametrize("name", SHIPPED)
def test_the_models_that_ship_have_seen_every_image_but_the_test_part(name: str) -> None:
    description = load_model(name).description
    clean = seen_images(description, predictions(of_part("test")))
    assert clean is not None
    assert (clean.reasons, clean.unknown, clean.images) == ({}, 0, 2004)
    for part in ("train", "val", "cal"):
        found = seen_images(description, predictions(of_part(part)))
        assert found is not None
        assert set(found.reasons.values()) == {"same image"}
        assert len(found.reasons) == found.images
    mixed = seen_images(description, predictions([*of_part("test")[:90], *of_part("train")[:10]]))
    assert mixed is not None
    assert mixed.share == 0.1
    assert mixed.describe().startswith("SEEN IN TRAINING. ")


def test_names_in_folders_are_known_and_others_are_counted_as_unknown() -> None:
    ids = [f"images/{of_part('train')[0]}.jpg", of_part("test")[0], "ISIC_9999999"]
    found = seen_images(load_model().description, predictions(ids))
    assert found is not None
    assert found.reasons == {ids[0]: "same image"}
    assert found.unknown == 1
    assert "Nothing is known about 1 other image without an id in its data" in found.describe()
    assert "Only ids are compared" in found.describe()


def test_a_model_is_recognised_by_the_hash_of_its_file_alone() -> None:
    bundle = read_bundle("larger")
    assert shipped_description(Model("whatever", bundle.sha256)) == bundle.description
    assert shipped_description(Model(bundle.description.name, "0" * 64)) is None


def test_another_split_of_ham10000_is_known_by_its_test_images_and_siblings_are_found() -> None:
    table = known_lesions().assign(group=lesion_groups(known_lesions()))
    shared = table[table.duplicated("lesion_id", keep=False)]
    first, sibling = shared[shared["lesion_id"] == shared["lesion_id"].iloc[0]]["image_id"].iloc[:2]
    alone = table.drop_duplicates("group", keep=False)["image_id"].iloc[0]
    made = provenance(test_images=(image_digest(first), image_digest(alone)))
    found = seen_images(describe(provenance=made), predictions([first, alone, sibling]))
    assert found is not None
    assert found.reasons == {first: "same lesion", sibling: "same image"}


def test_other_data_is_known_by_digests_of_images_and_of_lesions() -> None:
    made = provenance(images=3, seen=digests_of_seen(["a", "b"], ["lesion 1", "lesion 2"]))
    given = predictions(["x/a.jpg", "c", "d"], ["lesion 1", "lesion 2", "lesion 3"])
    found = seen_images(describe(provenance=made), given)
    assert found is not None
    assert found.reasons == {"x/a.jpg": "same image", "c": "same lesion"}
    assert found.unknown == 1  # nothing vouches for "d"
    without_lesions = seen_images(describe(provenance=made), replace(given, group=None))
    assert without_lesions is not None
    assert list(without_lesions.reasons) == ["x/a.jpg"]


@pytest.mark.parametrize("made", [None, provenance(), provenance(images=5, test_images=("0" * 16,))])
def test_a_model_that_does_not_say_is_not_judged(made: Provenance | None) -> None:
    assert seen_images(describe(provenance=made), predictions(["a"])) is None


def test_copies_in_two_folders_are_both_seen() -> None:
    image = of_part("train")[0]
    found = seen_images(load_model().description, predictions([f"left/{image}", f"right/{image}"]))
    assert found is not None
    assert (len(found.reasons), found.unknown) == (2, 0)


def test_where_no_id_is_known_nothing_is_said_to_be_unseen() -> None:
    found = seen_images(load_model().description, predictions(["clinic_1", "clinic_2"]))
    assert found is not None
    assert found.describe().startswith("Whether best was made with these images is not known")
