"""Which collection of images a data set is, as far as its image ids tell."""

from collections.abc import Iterable
from typing import Final, Literal

Collection = Literal["HAM10000", "phantom", "other"]
PHANTOM_PREFIX: Final = "PHANTOM_"
"""Start of every image id of a drawn data set (`phantom.plan`)."""
HAM10000_FINGERPRINT: Final = "59ff5503d325365201462b82282781f1ffb61a6b75d32a2ca6670751b49278cd"
"""Data fingerprint of the whole of HAM10000; bundles from before the field `collection` are known by it."""
PHANTOM_WARNING: Final = (
    "Drawn phantoms, not photographs: this model learnt from drawings and knows nothing about skin. Its "
    "scores and answers only show that the software works."
)


def collection_of(image_ids: Iterable[str]) -> Collection:
    """Return which collection all of some images belong to; "other" if that is none or more than one."""
    found = set(image_ids)
    if found and all(name.startswith(PHANTOM_PREFIX) for name in found):
        return "phantom"
    from lesionwise.data.known_lesions import known_lesions  # noqa: PLC0415 (pandas, which a service lacks)

    known = set(known_lesions()["image_id"])
    return "HAM10000" if found and found <= known else "other"


def stamped_name(name: str, collection: Collection) -> str:
    """Return the name of a model, which says so where it learnt from drawings.

    Example:
        >>> stamped_name("small", "phantom"), stamped_name("small", "HAM10000")
        ('small (phantoms)', 'small')
    """
    return f"{name} (phantoms)" if collection == "phantom" and "phantom" not in name.lower() else name
