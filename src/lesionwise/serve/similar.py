"""Similar lesions for the API and the page.

A gallery shows somebody's patients. The service never shows ids of images or lesions, and shows age, sex and
site only with pictures, which the maker of the gallery chose to keep. Not here: the search
(`lesionwise.gallery.gallery`).
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from lesionwise.encoding import data_uri
from lesionwise.gallery.gallery import NOTHING_ALIKE, Gallery, Similar
from lesionwise.labels import MALIGNANT
from lesionwise.serve.strings import DIAGNOSES, TEXT
from lesionwise.wording import counted, listed


def similar_results(found: Sequence[Similar]) -> list[dict[str, Any]]:
    """Return similar lesions as the API gives them (`schema.SimilarLesion`)."""
    return [
        {
            "dx": one.dx,
            "distance": round(one.distance, 6),
            "percentile": round(one.percentile, 4),
            "age": one.age if one.picture else None,
            "sex": one.sex or None if one.picture else None,
            "localization": one.localization or None if one.picture else None,
            "licence": one.licence or None,
            "picture": data_uri(one.picture) if one.picture else None,
        }
        for one in found
    ]


def without_pictures(result: dict[str, Any]) -> dict[str, Any]:
    """Return a result that a user may show and keep, without the pictures of the gallery."""
    found = result["similar"]
    return result | {"similar": found and [one | {"picture": None} for one in found]}


def describe_similar(found: list[dict[str, Any]] | None, gallery: Gallery | None) -> dict[str, Any] | None:
    """Return the statements of the page about similar lesions; None if there are none to show."""
    if not found or gallery is None:
        return None

    def age(years: float | None) -> str:
        return "" if years is None else f"{years:g} years"

    counts = Counter(one["dx"] for one in found).most_common()
    names = [f"{DIAGNOSES[code].name.lower()} ({number})" for code, number in counts]
    nearest = found[0]["percentile"]
    licence = gallery.about.licence or TEXT["licence_none"]
    return {
        "lead": TEXT["similar_lead"].format(count=len(found), names=listed(names)),
        "none_alike": nearest >= NOTHING_ALIKE,
        "lesions": [
            one
            | {
                "name": DIAGNOSES[one["dx"]].name,
                "malignant": one["dx"] in MALIGNANT,
                "about": ", ".join(filter(None, (age(one["age"]), one["sex"], one["localization"]))),
            }
            for one in found
        ],
        "pictures": bool(gallery.pictures),
        "source": TEXT["similar_source"].format(
            images=counted(len(gallery), "image"), lesions=counted(gallery.lesions, "lesion"), licence=licence
        ),
    }
