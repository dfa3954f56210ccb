"""Answers for people: sentences and rows for a terminal, HTML for a notebook."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from lesionwise.arrays import Float32s, Pixels
from lesionwise.bundle.description import Description
from lesionwise.data.collection import PHANTOM_WARNING
from lesionwise.data.images import centred_slices
from lesionwise.encoding import jpeg_uri
from lesionwise.labels import CODES, MALIGNANT, NAMES
from lesionwise.page.heatmap import dim_around, lay_colour, positive_part
from lesionwise.page.palette import DIAGNOSIS_COLORS, DIAGNOSIS_COLORS_DARK
from lesionwise.page.shell import templates
from lesionwise.wording import counted, listed

if TYPE_CHECKING:
    from lesionwise.bundle.answers import Answer, Answers

DISCLAIMER: Final = "Research and education only; not a medical device."
DECISIONS: Final = {
    "answer": "answered",
    "uncertain": "uncertain",
    "not_a_lesion_image": "not recognised as a lesion image",
}
"""The name of each decision in a sentence."""
_UNCALIBRATED: Final = "not calibrated: its probabilities are raw, and no diagnosis can be excluded."
_IN_REPR: Final = 5  # answers that a repr shows
_IN_NOTEBOOK: Final = 12  # answers that a notebook shows
_LONGEST_NAME: Final = 48
_QUALITY: Final = 88  # of the JPEGs in a notebook


def describe_answer(answer: "Answer") -> str:
    """Return an answer in lines: the decision, the set, the malignant sum, all seven probabilities."""
    ranked = sorted(answer.probabilities.items(), key=lambda item: -item[1])
    share = f"{_percent(answer.malignant_probability)} malignant or pre-malignant ({', '.join(MALIGNANT)})"
    facts = [_set_in_words(answer), f"{share}.{_melanoma_in_words(answer)}"]
    rows = [f"  {_percent(value)}  {code:5}  {NAMES[code]}" for code, value in ranked]
    return "\n".join([f"{answer.name}: {decision_in_words(answer)}", *(f"  {fact}" for fact in facts), *rows])


def decision_in_words(answer: "Answer") -> str:
    """Return the decision on an image in one to three sentences."""
    likeliest = (
        f"{NAMES[answer.top]} ({answer.top}) with {_percent(answer.probabilities[answer.top]).strip()}"
    )
    if answer.decision == "uncertain":
        return f"uncertain. Malignant and benign diagnoses remain possible. The likeliest is {likeliest}."
    if answer.decision == "not_a_lesion_image":
        return "not recognised as a lesion image. Disregard the numbers below."
    return f"{likeliest}."


def describe_answers(answers: "Answers") -> str:
    """Return the first answers as a table."""
    name = answers.description.name
    if not len(answers):
        return f"{name}: no answers"
    shown = answers[:_IN_REPR]
    width = name_width(answer.name for answer in shown)
    more = [f"… and {len(answers) - len(shown):,} more"] if len(answers) > len(shown) else []
    head = f"{name}: {counted(len(answers), 'answer')}"
    return "\n".join([head, table_head(width), *(table_row(answer, width) for answer in shown), *more])


def name_width(names: Iterable[str]) -> int:
    """Return the width of the column of names; longer names lose their beginning."""
    return min(_LONGEST_NAME, max(len("image"), *map(len, names)))


def table_head(width: int) -> str:
    """Return the column heads of `table_row`. `width`: width of the column of names."""
    return (
        f"{'image':{width}}  {'decision':18}  {'top':5}  {'prob.':>6}  {'malignant':>9}  cannot be excluded"
    )


def table_row(answer: "Answer", width: int, name: str = "") -> str:
    """Return an answer as a row of a table."""
    shown = name or answer.name
    shown = f"…{shown[1 - width :]}" if len(shown) > width else shown
    held = "not calibrated"
    if answer.prediction_set is not None:
        held = " ".join(answer.prediction_set) or "nothing"
    top, malignant = _percent(answer.probabilities[answer.top]), _percent(answer.malignant_probability)
    return f"{shown:{width}}  {answer.decision:18}  {answer.top:5}  {top:>6}  {malignant:>9}  {held}"


def describe_counts(decisions: dict[str, int]) -> str:
    """Return a sentence with the number of images for each decision."""
    return ", ".join(f"{number:,} {DECISIONS[name]}" for name, number in decisions.items() if number)


def describe_several(files: int) -> str:
    """Return a sentence about the files that contain several pictures."""
    return f"{counted(files, 'file contains', 'files contain')} several pictures; the first was used."


def warnings_about(description: Description) -> list[str]:
    """Return the warnings before all answers: the model leaks, learnt from drawings, or is uncalibrated."""
    warnings = {
        f"{description.stamp}: do not trust the scores of this model.": bool(description.stamp),
        PHANTOM_WARNING: description.learnt_from == "phantom",
        f"This model is {_UNCALIBRATED}": description.calibration is None,
    }
    return [warning for warning, applies in warnings.items() if applies]


def answers_html(answers: Sequence["Answer"], description: Description) -> str:
    """Return answers as HTML for a notebook: image, heatmap and bars of the first ones."""
    template = templates("lesionwise.page").get_template("answers.html")
    return template.render(
        answers=[
            (answer, decision_in_words(answer), *_pictures(answer)) for answer in answers[:_IN_NOTEBOOK]
        ],
        more=max(0, len(answers) - _IN_NOTEBOOK),
        name=description.name,
        calibrated=description.calibration is not None,
        warnings=[*warnings_about(description), DISCLAIMER],
        codes=CODES,
        names=NAMES,
        malignant=MALIGNANT,
        colors=DIAGNOSIS_COLORS,
        dark=DIAGNOSIS_COLORS_DARK,
        sets=_set_in_words,
        melanoma=_melanoma_in_words,
    )


def draw_over(pixels: Pixels, values: "Float32s", zoom: float) -> Pixels:
    """Return an image with a map over the part that the network looks at; the rest is darker.

    Args:
        pixels: The input of the network, shape (H, W, 3).
        values: What each place adds to a logit, shape of any size.
    """
    seen = centred_slices((pixels.shape[0], pixels.shape[1]), zoom)
    drawn = dim_around(pixels, seen)
    drawn[seen] = lay_colour(pixels[seen], positive_part(values))
    return drawn


def _pictures(answer: "Answer") -> tuple[str, str]:
    """Return the image, and the image with its map, as data URIs; empty if there is none."""
    pixels = answer.read_pixels()
    if pixels is None:
        return "", ""
    picture = jpeg_uri(pixels, quality=_QUALITY)
    if answer.heatmap is None:
        return picture, ""
    zoom = answer.description.input.zoom
    return picture, jpeg_uri(draw_over(pixels, answer.heatmap, zoom), quality=_QUALITY)


def _set_in_words(answer: "Answer") -> str:
    calibration = answer.description.calibration
    if answer.prediction_set is None or calibration is None:
        return f"The model is {_UNCALIBRATED}"
    sets = calibration.prediction_sets
    never = [code for code in CODES if isinstance(sets.classes[code].quantile, str)]
    promise = f"of the lesions of each diagnosis, {100 * sets.coverage:g} % have it in their set"
    exception = f"; {listed(never)} {'is' if len(never) == 1 else 'are'} never excluded" if never else ""
    return f"Cannot be excluded: {', '.join(answer.prediction_set) or 'nothing'} ({promise}{exception})."


def _melanoma_in_words(answer: "Answer") -> str:
    if answer.above_melanoma_threshold is None:
        return ""
    where = "reaches" if answer.above_melanoma_threshold else "is below"
    return f" Melanoma {where} the threshold at which it is reported."


def _percent(part: float) -> str:
    return f"{100 * part:4.1f} %"
