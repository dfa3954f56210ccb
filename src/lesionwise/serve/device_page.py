"""A page that runs a bundle on the visitor's own device: files for any static host.

Here: the files, and the facts of the bundle for the script. Not here: the page itself (`page`), and the
computation in the browser (`static/device.js`). ONNX Runtime Web has some eleven megabytes and is not part of
this package: whoever makes a page passes the folder in which npm installed it.
"""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import numpy as np

from lesionwise.bundle.description import Description
from lesionwise.bundle.load import Bundle
from lesionwise.bundle.publishing import licence_lines
from lesionwise.data.images import MAX_PIXELS, MIN_SIDE_PX
from lesionwise.errors import BundleError
from lesionwise.labels import CODES, MALIGNANT
from lesionwise.serve.page import (
    about,
    describe_model,
    describe_point,
    palette_css,
    percent,
    promise,
    render_device_page,
    say,
    unpromised,
)
from lesionwise.serve.strings import DIAGNOSES, TEXT

PACKAGE: Final = "onnxruntime-web"
RUNTIME: Final = ("ort.wasm.min.js", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
"""Files of the package for the page."""
TESTED: Final = "1.22.0"
_STATIC: Final = ("mark.svg", "page.css", "page.js", "device.js")
_README: Final = """---
title: {title}
sdk: static
app_file: index.html
{licence}---

{name} on the visitor's own device: the page loads the model and ONNX Runtime Web {version} (MIT), and uploads
nothing. Research and education only; not a medical device.
"""


def device_page(bundle: Bundle, package: Path) -> dict[str, bytes]:
    """Return the files of the page by their path in its folder.

    Args:
        bundle: The bundle that the page runs; it is one of the files.
        package: The folder of npm's `onnxruntime-web`.

    Raises:
        BundleError: If the bundle needs preprocessing steps that the page lacks, or the folder is not that of
            the package.
    """
    steps = bundle.description.input.steps
    if steps:
        raise BundleError(
            f"{bundle.path}: reads images with {', '.join(steps)}, which the page in a browser cannot do. "
            "Publish it without --page."
        )
    version, runtime = _runtime(package)
    static = files("lesionwise.serve") / "static"
    readme = _README.format(
        title=json.dumps(bundle.description.name),
        name=bundle.description.name,
        licence="".join(f"{line}\n" for line in licence_lines(bundle.description.licence)),
        version=version,
    )
    return {
        "index.html": render_device_page(bundle, _facts(bundle)).encode(),
        "README.md": readme.encode(),
        "model.onnx": bundle.content,
        "palette.css": palette_css().encode(),
        **{f"static/{name}": (static / name).read_bytes() for name in _STATIC},
        **{f"runtime/{name}": content for name, content in runtime.items()},
    }


def _runtime(package: Path) -> tuple[str, dict[str, bytes]]:
    try:
        version = str(json.loads((package / "package.json").read_text(encoding="utf-8"))["version"])
        return version, {name: (package / "dist" / name).read_bytes() for name in RUNTIME}
    except (OSError, ValueError, KeyError) as error:
        raise BundleError(
            f"{package}: expected the folder of npm's {PACKAGE}, with package.json and dist/{RUNTIME[0]}. "
            f'Run "npm install {PACKAGE}@{TESTED}" and pass node_modules/{PACKAGE}.'
        ) from error


def _facts(bundle: Bundle) -> dict[str, Any]:
    """Return the facts for the script: sizes, thresholds and sentences."""
    description = bundle.description
    rule, accepted = description.input, describe_model(bundle)["accepted"]
    return {
        "name": description.name,
        "sha256": bundle.sha256,
        "version": description.package_version,
        "size": {"height": rule.height, "width": rule.width},
        "zoom": rule.zoom,
        "least_side_px": MIN_SIDE_PX,
        "most_pixels": MAX_PIXELS,
        "outputs": [name for name in description.outputs if name in ("probabilities", "logits", "ood_score")],
        "second_look": description.second_look,
        "scaling": _scaling(description),
        "metadata": description.metadata.model_dump()["fields"] if description.metadata else [],
        "codes": CODES,
        "malignant": MALIGNANT,
        "calibrated": description.calibration is not None,
        "sets": _sets(description),
        "unpromised": unpromised(description.calibration),
        "point": describe_point(description.calibration),
        "cutoff": description.ood_cutoff,
        "wrongly": TEXT["rejected_unmeasured"]
        if accepted is None
        else say("rejected_wrongly", percent=percent(1 - accepted)),
        "phantom": about(description)["phantom"],
        "diagnoses": {code: words._asdict() for code, words in DIAGNOSES.items()},
        "text": dict(TEXT),
    }


def _scaling(description: Description) -> dict[str, Any]:
    """Return what the probabilities of averaged logits are computed with."""
    found = description.calibration.scaling if description.calibration else None
    return {
        "factor": [1.0] * len(CODES) if found is None else np.asarray(found.factor).tolist(),
        "offset": [0.0] * len(CODES) if found is None else np.asarray(found.offset).tolist(),
    }


def _sets(description: Description) -> dict[str, Any] | None:
    """Return the rule of the prediction sets; a limit of None puts a diagnosis into every set."""
    if description.calibration is None:
        return None
    sets = description.calibration.prediction_sets
    limits = [sets.classes[code].quantile for code in CODES]
    return {
        "rule": sets.rule,
        "limits": [None if isinstance(limit, str) else limit for limit in limits],
        "coverage": sets.coverage,
        "coverage_text": promise(sets.coverage),
    }
