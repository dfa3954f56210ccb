"""Which images of a test set, or other photographs of their lesions, a model was made with.

A model is made with every part but `test`: it was trained on `train`, chosen or trained on `val`, and
calibrated on `cal`. A score on such images says little about new lesions.

Here: finding these images from the split in the bundle. Not here: scoring the others.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lesionwise.arrays import Booleans
from lesionwise.bundle.description import Description, Provenance, image_digest
from lesionwise.bundle.load import SHIPPED, read_bundle
from lesionwise.data.known_lesions import HAM10000_IMAGES, REFERENCE_SPLIT, known_lesions, reference_parts
from lesionwise.evaluation.predictions import Model, Predictions
from lesionwise.files import file_sha256
from lesionwise.names import image_id_of
from lesionwise.split.check import REASONS, find_taint
from lesionwise.wording import counted

SEEN_STAMP: Final = "SEEN IN TRAINING"
"""The stamp on every score of images that the model was made with."""


@dataclass(frozen=True)
class Seen:
    """Which images of a test set a model was made with.

    Attributes:
        reasons: One of `lesionwise.split.check.REASONS`, by the id of each image that was seen.
        unknown: Number of images about which nothing is known: their ids are not in the model's data.
    """

    model: str
    reasons: dict[str, str]
    images: int
    unknown: int

    @property
    def share(self) -> float:
        """Part of the test images that was seen, from 0 to 1."""
        return len(self.reasons) / self.images

    def mask(self, image_ids: NDArray[np.str_]) -> Booleans:
        """Return which of these images were seen, shape (N,)."""
        return np.isin(image_ids, list(self.reasons))

    def describe(self) -> str:
        """Return the finding in sentences that can be quoted."""
        only_ids = "Only ids are compared: an image under another name is not found."
        if self.unknown == self.images:
            return (
                f"Whether {self.model} was made with these images is not known: none of their ids is in its "
                f"data. {only_ids}"
            )
        others = counted(self.unknown, "other image")
        unknown = (
            f" Nothing is known about {others} without an id in its data. {only_ids}" if self.unknown else ""
        )
        if not self.reasons:
            known = counted(self.images - self.unknown, "image")
            return f"{self.model} was made with none of the {known} in its data.{unknown}"
        counts = Counter(self.reasons.values())
        parts = ", ".join(f"{counts[reason]:,} {reason}" for reason in REASONS if counts[reason])
        images = counted(self.images, "image")
        return (
            f"{SEEN_STAMP}. {self.model} was made with {len(self.reasons):,} of {images} "
            f"({self.share:.1%}), or with other photographs of their lesions ({parts}). The scores on all "
            f"images do not show how good it is on new lesions.{unknown}"
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain values with every id."""
        stamp = {"stamp": SEEN_STAMP} if self.reasons else {}
        return {**stamp, **vars(self), "share": self.share}


def shipped_description(model: Model) -> Description | None:
    """Return the description of the included bundle that made some predictions, if one did."""
    for name in SHIPPED:
        path = files("lesionwise") / "weights" / f"{name}.onnx"
        if path.is_file() and file_sha256(path) == model.sha256:  # type: ignore[arg-type] # a file on disk
            return read_bundle(name).description
    return None


def seen_images(description: Description, predictions: Predictions) -> Seen | None:
    """Return which of the predicted images, or of their lesions, a model was made with.

    The package knows the split of the included models, and any other split of all of HAM10000, because a
    bundle names its test images. For other data, a bundle holds digests of the images and lesions that made
    it, and the `group` of the predictions leads to other photographs of the same lesions.

    Returns:
        None if the bundle does not state this, such as an imported one that was never calibrated.
    """
    provenance, ids = description.provenance, predictions.image_id.tolist()
    if provenance is None:
        digests = description.calibrated_on
        return _seen_by_digest(description.name, predictions, digests) if digests else None
    images = _ham10000_made_with(provenance)
    if images is not None:
        known = known_lesions()
        theirs = set(known["image_id"])
        # An image may be there several times, in different folders.
        name = {image: bare for image in ids if (bare := image_id_of(image)) in theirs}
        found = find_taint(images, list(name.values()), known)
        reasons = {image: found[bare] for image, bare in name.items() if bare in found}
        if provenance.seen:  # images that trained the weights before HAM10000
            reasons = _seen_by_digest(description.name, predictions, provenance.seen).reasons | reasons
        return Seen(description.name, reasons, len(ids), len(ids) - len(name))
    if not provenance.seen:
        return None
    return _seen_by_digest(description.name, predictions, provenance.seen, provenance.test_images)


def made_with(description: Description) -> frozenset[str] | None:
    """Return the digests of the images and lesions that a model was made with; None if not stated."""
    provenance = description.provenance
    images = None if provenance is None else _ham10000_made_with(provenance)
    seen = provenance.seen if provenance else None
    if images is None:
        return frozenset(seen) if seen else None
    known = known_lesions()
    lesions = known.loc[known["image_id"].isin(images), "lesion_id"].unique()
    return frozenset({*digests_of_seen(images, lesions.tolist()), *(seen or ())})


def _seen_by_digest(
    model: str, predictions: Predictions, known: Sequence[str], tested_on: Sequence[str] = ()
) -> Seen:
    """Return which of the predicted images are among digests.

    Args:
        known: Digests of the images and lesions that made it.
        tested_on: Digests of images that are known not to be among them.
    """
    ids, digests = predictions.image_id.tolist(), set(known)
    groups = [None] * len(ids) if predictions.group is None else predictions.group.tolist()
    reasons = {}
    unknown = 0
    for image, group in zip(ids, groups, strict=True):
        if not digests.isdisjoint({image_digest(image), image_digest(image_id_of(image))}):
            reasons[image] = REASONS[0]
        elif group is not None and image_digest(group) in digests:
            reasons[image] = REASONS[1]
        else:
            unknown += image_digest(image) not in tested_on
    return Seen(model, reasons, len(ids), unknown)


def digests_of_seen(image_ids: Sequence[str], groups: Sequence[str]) -> tuple[str, ...]:
    """Return the digests of images and lesions that a bundle stores."""
    return tuple(sorted({image_digest(name) for name in (*image_ids, *groups)}))


def _ham10000_made_with(provenance: Provenance) -> list[str] | None:
    """Return the images of HAM10000 that made a model; None if it was not made with all of HAM10000."""
    parts = reference_parts()
    if provenance.split_fingerprint == REFERENCE_SPLIT:
        return [image for image, part in parts.items() if part != "test"]
    digest = {image_digest(image): image for image in parts}
    tested = provenance.test_images
    if provenance.images != HAM10000_IMAGES or not tested or not digest.keys() >= set(tested):
        return None
    return sorted(set(parts) - {digest[test] for test in tested})
