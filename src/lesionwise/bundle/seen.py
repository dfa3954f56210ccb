"""What a model has seen: which images of a test set, or of their lesions, it was made with.

Every part but `test` made the model: it was trained on `train`, chosen or trained on `val`, and calibrated on
`cal`. A score on such images says little about new lesions.

Here: finding these images from what the bundle says of its split. Not here: scoring the rest.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lesionwise.bundle.description import Description, Provenance, image_digest
from lesionwise.bundle.load import SHIPPED, read_bundle
from lesionwise.data.known_lesions import (
    HAM10000_IMAGES,
    REFERENCE_SPLIT,
    known_lesions,
    reference_parts,
)
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
        unknown: Those of which nothing is known: their ids are in no table of the model's data.
    """

    model: str
    reasons: dict[str, str]
    images: int
    unknown: int

    @property
    def share(self) -> float:
        """Part of the test images that was seen, from 0 to 1."""
        return len(self.reasons) / self.images

    def mask(self, image_ids: NDArray[np.str_]) -> NDArray[np.bool_]:
        """Return which of these images were seen, shape (N,)."""
        return np.isin(image_ids, list(self.reasons))

    def describe(self) -> str:
        """Return what was found, as a sentence that can be quoted."""
        if self.unknown == self.images:
            return (
                f"Whether {self.model} was made with these images is not known: no id is one of its data. "
                "Only ids are compared; an image under another name is not found."
            )
        others = counted(self.unknown, "other image")
        unknown = (
            f" Of {others} nothing is known: their ids are not in its data, and only ids are compared, so an "
            "image under another name is not found."
            if self.unknown
            else ""
        )
        if not self.reasons:
            known = counted(self.images - self.unknown, "image")
            return f"{self.model} was made with none of the {known} in its data.{unknown}"
        counts = [(reason, list(self.reasons.values()).count(reason)) for reason in REASONS]
        parts = ", ".join(f"{count:,} {reason}" for reason, count in counts if count)
        images = counted(self.images, "image")
        return (
            f"{SEEN_STAMP}. {self.model} was made with {len(self.reasons):,} of {images} "
            f"({self.share:.1%}), or with other photographs of their lesions ({parts}). The scores of all "
            f"images do not say how well it does on new lesions.{unknown}"
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain values with every id."""
        stamp = {"stamp": SEEN_STAMP} if self.reasons else {}
        return {**stamp, **vars(self), "share": self.share}


def shipped_description(model: Model) -> Description | None:
    """Return the description of the bundle that ships with the package and made predictions, if one did."""
    for name in SHIPPED:
        path = files("lesionwise") / "weights" / f"{name}.onnx"
        if path.is_file() and file_sha256(path) == model.sha256:  # type: ignore[arg-type] # a file on disk
            return read_bundle(name).description
    return None


def seen_images(description: Description, predictions: Predictions) -> Seen | None:
    """Return which of the predicted images, or of their lesions, a model was made with.

    The split that the models which ship were made with is known image by image, and so is any other split of
    all of HAM10000, since a bundle names its test images. For other data a bundle holds digests of the images
    and lesions that made it; siblings are then found by the `group` of the predictions.

    Returns:
        None if the bundle does not say what it was made with, as an imported one that was never calibrated.
    """
    provenance, ids = description.provenance, predictions.image_id.tolist()
    if provenance is None:
        digests = description.calibrated_on
        return _seen_by_digest(description.name, predictions, digests) if digests else None
    images = _ham10000_made_with(provenance)
    if images is not None:
        known = known_lesions()
        theirs = set(known["image_id"])
        # Copies of an image in several folders are all that image, so several may have one name.
        name = {image: bare for image in ids if (bare := image_id_of(image)) in theirs}
        found = find_taint(images, list(name.values()), known)
        reasons = {image: found[bare] for image, bare in name.items() if bare in found}
        if provenance.seen:  # what the weights were trained on before HAM10000
            reasons = _seen_by_digest(description.name, predictions, provenance.seen).reasons | reasons
        return Seen(description.name, reasons, len(ids), len(ids) - len(name))
    if not provenance.seen:
        return None
    return _seen_by_digest(description.name, predictions, provenance.seen, provenance.test_images)


def made_with(description: Description) -> frozenset[str] | None:
    """Return the digests of the images and lesions that a model was made with; None if it does not say."""
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
    """Return the digests by which a bundle remembers what it was made with.

    Args:
        image_ids: Image ids of train, val and cal.
    """
    return tuple(sorted({image_digest(name) for name in (*image_ids, *groups)}))


def _ham10000_made_with(provenance: Provenance) -> list[str] | None:
    """Return the images of HAM10000 that made a model, None if it was not made with all of HAM10000."""
    parts = reference_parts()
    if provenance.split_fingerprint == REFERENCE_SPLIT:
        return [image for image, part in parts.items() if part != "test"]
    digest = {image_digest(image): image for image in parts}
    tested = provenance.test_images
    if provenance.images != HAM10000_IMAGES or not tested or not digest.keys() >= set(tested):
        return None
    return sorted(set(parts) - {digest[test] for test in tested})
