"""The audit as a page: what was found, the images that show it, and how to go on.

The page holds small copies of the user's own images, and is the user's to share or not.
"""

from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

from lesionwise.data.audit.duplicates import NEAR_DUPLICATES
from lesionwise.data.audit.run import Audit
from lesionwise.data.findings import Finding
from lesionwise.encoding import jpeg_uri
from lesionwise.files import write_json, write_text
from lesionwise.labels import NAMES
from lesionwise.page.shell import render_page

_THUMBNAIL: Final = (160, 120)  # px
_SHOWN_IMAGES: Final = 12
_SHOWN_PAIRS: Final = 12
_SHOWN_IDS: Final = 200
_QUALITY: Final = 80


def audit_page(audit: Audit) -> str:
    """Return the audit as HTML that needs no other file."""
    row = {image: number for number, image in enumerate(audit.dataset.table["image_id"])}
    return render_page(
        "lesionwise.data.audit",
        "audit.html",
        audit=audit,
        errors=sum(finding.severity == "error" for finding in audit.findings),
        shown=[_shown(finding, audit, row) for finding in audit.findings],
        diagnoses=NAMES,
        most=max(audit.classes.values(), default=0),
    )


def write_audit(audit: Audit, folder: Path) -> None:
    """Write `audit.html`, `audit.json`, and `pairs.csv` with the pairs that a person has yet to confirm."""
    write_text(folder / "audit.html", audit_page(audit))
    write_json(folder / "audit.json", audit.to_json())
    pairs = [
        (*detail["pair"], detail["correlation"])
        for finding in audit.findings
        if finding.code == NEAR_DUPLICATES
        for detail in finding.details
    ]
    rows = "".join(f"{first},{second},{value}\n" for first, second, value in pairs)
    write_text(folder / "pairs.csv", f"image_id,other_image_id,correlation\n{rows}")


def _shown(finding: Finding, audit: Audit, row: dict[str, int]) -> dict[str, Any]:
    """Return a finding with the images that show it: pairs side by side, others in a row."""
    pairs = [detail for detail in finding.details if "pair" in detail][:_SHOWN_PAIRS]
    images = [] if pairs else [image for image in finding.ids if image in row][:_SHOWN_IMAGES]
    return {
        "finding": finding,
        "pairs": [
            {"images": [_figure(image, audit, row) for image in detail["pair"]], **detail} for detail in pairs
        ],
        "images": [_figure(image, audit, row) for image in images],
        "ids": finding.ids[:_SHOWN_IDS],
        "more": max(0, len(finding.ids) - _SHOWN_IDS),
    }


def _figure(image_id: str, audit: Audit, row: dict[str, int]) -> dict[str, str]:
    if audit.cache is None or image_id not in row:
        return {"id": image_id, "source": ""}
    small = Image.fromarray(audit.cache.pixels[row[image_id]]).resize(_THUMBNAIL)
    return {"id": image_id, "source": jpeg_uri(np.asarray(small), quality=_QUALITY)}
