"""The page as HTML: the numbers of an answer as words and shapes."""

import json
from collections.abc import Mapping, Sequence
from datetime import date
from functools import cache
from importlib.resources import files
from typing import Any, Final

from jinja2 import Environment

from lesionwise.bundle.description import Description
from lesionwise.bundle.load import Bundle
from lesionwise.data.images import READS_HEIC
from lesionwise.encoding import data_uri
from lesionwise.evaluation.calibration.record import POSITIVE, Calibration
from lesionwise.labels import CODES, MALIGNANT
from lesionwise.page.palette import DARK, DIAGNOSIS_COLORS, DIAGNOSIS_COLORS_DARK, LIGHT
from lesionwise.page.shell import templates
from lesionwise.serve.examples import Example
from lesionwise.serve.limits import Limits
from lesionwise.serve.problems import HERE, KINDS, Problem
from lesionwise.serve.schema import ViewBox
from lesionwise.serve.service import Answer, Service
from lesionwise.serve.similar import describe_similar, without_pictures
from lesionwise.serve.strings import DIAGNOSES, TEXT
from lesionwise.wording import listed

WEAKEST: Final = 3
_SHA_SHOWN: Final = 12


@cache
def _templates() -> Environment:
    environment = templates("lesionwise.serve")
    environment.globals.update(t=TEXT, diagnoses=DIAGNOSES, say=say)
    environment.filters.update(percent=percent, promise=promise, fixed=fixed)
    return environment


def say(key: str, **values: object) -> str:
    """Return a sentence of `strings.TEXT` with its blanks filled."""
    return TEXT[key].format(**values)


def percent(part: float) -> str:
    r"""Return a fraction as whole per cent, never as a certainty.

    Examples:
        >>> percent(0.713), percent(0.002), percent(0.999)
        ('71\xa0%', '<\xa01\xa0%', '>\xa099\xa0%')
    """
    if part < 0.005:  # noqa: PLR2004 (what would be rounded to nothing)
        return "<\N{NO-BREAK SPACE}1\N{NO-BREAK SPACE}%"
    if part >= 0.995:  # noqa: PLR2004 (and to all)
        return ">\N{NO-BREAK SPACE}99\N{NO-BREAK SPACE}%"
    return f"{100 * part:.0f}\N{NO-BREAK SPACE}%"


def promise(part: float) -> str:
    r"""Return a promised or requested fraction as per cent with all its digits.

    Examples:
        >>> promise(0.9), promise(0.975), promise(0.07)
        ('90\xa0%', '97.5\xa0%', '7\xa0%')
    """
    return f"{100 * part:g}\N{NO-BREAK SPACE}%"


def fixed(value: float) -> str:
    """Return a score with three digits."""
    return f"{value:.3f}"


def palette_css() -> str:
    """Return the colours of report and page, for both schemes and for paper."""

    def block(colors: dict[str, str]) -> str:
        return "".join(f"--{name}:{color};" for name, color in colors.items())

    light, dark = block(LIGHT | DIAGNOSIS_COLORS), block(DARK | DIAGNOSIS_COLORS_DARK)
    return (
        f":root{{{light}}}\n@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}\n"
        "@media print{:root{--ground:#fff;}}\n"
    )


def _render(template: str, bundle: Bundle, **values: Any) -> str:  # noqa: ANN401 (whatever the template names)
    page = _templates().get_template(template)
    return page.render(model=describe_model(bundle), about=about(bundle.description), **values)


def render_page(service: Service, examples: Sequence[Example], results: Sequence[dict[str, Any]] = ()) -> str:
    """Return the whole page. `results`: those of `describe`; none before the first request."""
    return _render(
        "page.html",
        service.engine.bundle,
        limits=service.limits,
        examples=[example.name for example in examples],
        drawn=any(example.drawn for example in examples),
        results=results,
        base=HERE,
        device=None,
    )


def render_device_page(bundle: Bundle, facts: Mapping[str, Any]) -> str:
    """Return the page that runs a bundle on the visitor's device. `facts`: those for its script."""
    nothing: dict[str, Any] = {"examples": [], "drawn": False, "results": []}
    return _render("page.html", bundle, limits=Limits(), device=facts, base=HERE, **nothing)


def render_results(service: Service, results: Sequence[dict[str, Any]]) -> str:
    """Return only results, which the script puts into the page."""
    return _render("results.html", service.engine.bundle, results=results)


def render_reference(service: Service, document: dict[str, Any]) -> str:
    """Return the API's page."""
    return _render("reference.html", service.engine.bundle, api=document, kinds=KINDS, base=HERE)


def render_lost(service: Service, problem: Problem, base: str) -> str:
    """Return the page for an unknown address."""
    return _render("lost.html", service.engine.bundle, problem=problem.document(base), base=base)


def about(description: Description) -> dict[str, Any]:
    """Return the statements about the model on every page, from its description."""
    calibrated = description.calibration is not None
    lead = say("lead", answers=TEXT["lead_calibrated" if calibrated else "lead_uncalibrated"])
    return {
        "calibrated": calibrated,
        "lead": f"{lead} {TEXT['lead_rejects']}" if description.ood_cutoff is not None else lead,
        "limits": _limits(description),
        "heic": "HEIC, " if READS_HEIC else "",
        "through": TEXT["through_HAM10000" if description.learnt_from == "HAM10000" else "through_other"],
        "phantom": description.learnt_from == "phantom",
    }


def _limits(description: Description) -> str:
    made, collection = description.provenance, description.learnt_from
    if collection is None and made is not None:
        collection = "other"
    if collection == "other" and made is not None:
        return say("limits_other", images=f"{made.images:,}", lesions=f"{made.lesions:,}")
    return TEXT[f"limits_{collection or 'unknown'}"]


def describe(service: Service, found: list[Answer | Problem], *, key: str) -> list[dict[str, Any]]:
    """Return the values of answers and refusals for the templates."""
    return [
        {"id": f"result-{key}-{number}", "number": number + 1}
        | (
            {"problem": one.document(), "short": one.kind.title, "decision": "refused", "malignant": None}
            if isinstance(one, Problem)
            else _describe_answer(service, one)
        )
        for number, one in enumerate(found)
    ]


def _describe_answer(service: Service, answer: Answer) -> dict[str, Any]:
    result, calibration = answer.result, service.engine.description.calibration
    kept = without_pictures(result)
    text = json.dumps({"results": [kept], "model": service.model_brief()}, indent=2)
    shown = json.dumps({"results": [kept | {"heatmap": "…" if result["heatmap"] else None}]}, indent=2)
    name = DIAGNOSES[result["top"]].name
    rejected = result["decision"] == "not_a_lesion_image"
    short = {
        "answer": f"{name}, {percent(result['probabilities'][result['top']])}",
        "uncertain": TEXT["uncertain"],
        "not_a_lesion_image": TEXT["rejected_title"],
    }[result["decision"]]
    return {
        "problem": None,
        "short": short,
        "decision": result["decision"],
        "result": result,
        "name": name,
        "rows": [] if rejected else _rows(result, calibration),
        "set": None if rejected else describe_set(result, calibration),
        "operating": None if rejected else describe_operating_point(result, calibration),
        "similar": describe_similar(result["similar"], service.gallery),
        "picture": data_uri(answer.picture.preview),
        "width": answer.picture.width,
        "height": answer.picture.height,
        "frame": _frame(answer.view, answer.picture.width, answer.picture.height),
        "malignant": None
        if rejected
        else say("malignant_short", percent=percent(result["malignant_probability"])),
        "first_of_several": answer.picture.pictures > 1,
        "cutoff": service.engine.description.ood_cutoff,
        "json": shown,
        "json_uri": data_uri(text.encode(), "application/json"),
        "metadata": ", ".join(f"{TEXT[name].lower()} {value}" for name, value in answer.metadata.items()),
        "date": date.today().isoformat(),  # noqa: DTZ011 (the day where the service stands)
    }


def _rows(result: dict[str, Any], calibration: Calibration | None) -> list[dict[str, Any]]:
    never = unpromised(calibration)
    ranked = sorted(CODES, key=lambda code: -result["probabilities"][code])
    held = result["prediction_set"]

    def tag(code: str) -> str:
        if code in never and code != result["top"]:
            return "no_promise"
        return "in_set" if held is None or code in held or code == result["top"] else "out_of_set"

    values = result["probabilities"]
    return [
        {"code": code, "probability": values[code], "malignant": code in MALIGNANT, "tag": tag(code)}
        for code in ranked
    ]


def unpromised(calibration: Calibration | None) -> list[str]:
    """Return the diagnoses that are never excluded, because `cal` has too few of them."""
    classes = calibration.prediction_sets.classes if calibration else {}
    return [code for code in CODES if code in classes and isinstance(classes[code].quantile, str)]


def _frame(view: ViewBox | None, width: int, height: int) -> dict[str, float] | None:
    """Return the part that the network looks at, in pixels of the image; None if it is the whole image."""
    if view is None or view.width * view.height > 0.999:  # noqa: PLR2004 (a rounding error needs no frame)
        return None
    box = {"x": view.left * width, "y": view.top * height, "width": view.width * width}
    return {name: round(value, 1) for name, value in {**box, "height": view.height * height}.items()}


def describe_set(result: dict[str, Any], calibration: Calibration | None) -> dict[str, Any] | None:
    """Return the prediction set in words; None if the model has none."""
    if calibration is None or result["prediction_set"] is None:
        return None
    never = unpromised(calibration)
    promised = [code for code in result["prediction_set"] if code not in never]
    tags = [row["tag"] for row in _rows(result, calibration) if row["tag"] != "no_promise"]
    return {
        "names": _names(promised or result["prediction_set"][:1]),
        "coverage": promise(result["coverage"]),
        "no_promise": _names(never),
        # Whether a more likely diagnosis is excluded while a less likely one is not.
        "out_of_order": tags != sorted(tags),  # "in_set" comes before "out_of_set"
    }


def _names(codes: list[str]) -> str:
    return listed([DIAGNOSES[code].name.lower() for code in codes])


def describe_operating_point(
    result: dict[str, Any], calibration: Calibration | None
) -> dict[str, Any] | None:
    """Return whether melanoma is reported and how good that is; None without a threshold."""
    point = describe_point(calibration)
    if point is None:
        return None
    return {
        **point,
        "above": result["above_melanoma_threshold"],
        "probability": f"{100 * result['probabilities']['mel']:.1f}\N{NO-BREAK SPACE}%",
        "threshold": f"{100 * point['threshold']:.1f}\N{NO-BREAK SPACE}%",
    }


def describe_point(calibration: Calibration | None) -> dict[str, Any] | None:
    """Return the threshold for melanoma, and in words how good it is; None if there is none."""
    point = calibration.operating_point("melanoma") if calibration else None
    if point is None or isinstance(point.threshold, str) or not point.sensitivity or not point.specificity:
        return None
    worth = {"sensitivity": _interval(point.sensitivity), "specificity": _interval(point.specificity)}
    return {"threshold": point.threshold, **worth}


def _interval(given: Any) -> str:  # noqa: ANN401 (a score of a part, or an interval of a point)
    return f"{percent(given.value)} ({percent(given.low)} to {percent(given.high)})"


def describe_model(bundle: Bundle) -> dict[str, Any]:
    """Return the values of the model for the page."""
    description, calibration = bundle.description, bundle.description.calibration
    part = next((name for name in ("test", "val") if name in description.scores), None)
    scores = description.scores[part] if part else None
    overall, per_class = (scores.overall, scores.per_class) if scores else ({}, {})
    recalls = [(code, found["recall"]) for code, found in per_class.items() if "recall" in found]
    points = [calibration.operating_point(question) for question in POSITIVE] if calibration else []
    tested = "model_tested" if part == "test" else "model_val"
    return {
        "description": description,
        "sha256": bundle.sha256,
        "sha": bundle.sha256[:_SHA_SHOWN],
        "tested": tested if description.origin == "lesionwise" else "model_tested_elsewhere",
        "accepted": scores.accepted if scores else None,
        "scores": scores,
        "main": overall.get("balanced_accuracy"),
        "others": {name: overall[name] for name in ("accuracy", "macro_auc") if name in overall},
        "weak": sorted(recalls, key=lambda row: row[1].value)[:WEAKEST],
        "points": [point for point in points if point is not None],
    }


def static_folder() -> str:
    """Return the folder of style, script and mark."""
    return str(files("lesionwise.serve") / "static")
