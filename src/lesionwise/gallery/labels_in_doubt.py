"""Images whose diagnosis none of their neighbours has: candidates for a wrong label.

The model must not have been trained on the images: a network that learnt a wrong label by heart puts the
image among others with that label. Here: the finding of `lesionwise data audit`.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Any, Final

from lesionwise.data.findings import Finding
from lesionwise.gallery.gallery import Gallery
from lesionwise.wording import counted

NEIGHBOURS: Final = 10
"""Lesions that are looked at for each image."""


def doubt_findings(gallery: Gallery, image_ids: Iterable[str]) -> list[Finding]:
    """Return the finding on images of a collection whose nearest lesions all have another diagnosis.

    Args:
        image_ids: Images of the collection.

    Raises:
        DataError: If the gallery has none of them.
    """
    ids, dx = gallery.columns["image_id"], gallery.columns["dx"]
    rows = gallery.rows_of(set(image_ids))
    found: list[tuple[float, dict[str, Any]]] = []
    for row, near in zip(rows, gallery.neighbours(rows, NEIGHBOURS), strict=True):
        theirs = [dx[other] for other, _ in near]
        if len(near) == NEIGHBOURS and dx[row] not in theirs:
            nearest, distance = near[0]
            detail = {
                "pair": [ids[row], ids[nearest]],
                "dx": [dx[row], dx[nearest]],
                "neighbours": dict(Counter(theirs).most_common()),
            }
            found.append((distance, detail))
    details = [detail for _, detail in sorted(found, key=lambda one: one[0])]
    if not details:
        return []
    return [
        Finding(
            "D021",
            "warning",
            f"{counted(len(details), 'image')} (of {len(rows):,}) among lesions of other diagnoses: none of "
            f"the {NEIGHBOURS} nearest lesions, according to {gallery.about.model}, has the same diagnosis",
            "Look at them, the nearest first, beside their nearest lesion. A rare diagnosis is often "
            "reported without being wrong. Images that the model was trained on can hide a wrong label.",
            ids=tuple(detail["pair"][0] for detail in details),
            details=tuple(details),
        )
    ]
