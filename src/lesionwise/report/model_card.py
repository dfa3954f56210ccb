"""`model_card.md`: what a stranger must know before touching a model, with the header that model hubs read.

Here: gathering the files of a run into one text; what was not measured is named as such. Not here: measuring.
"""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from lesionwise.bundle.publishing import licence_in_words, licence_lines
from lesionwise.data.collection import PHANTOM_WARNING, collection_of
from lesionwise.errors import RunError
from lesionwise.evaluation.rejection import ACCEPT, ACCEPT_EACH, run_rejection
from lesionwise.evaluation.robustness import Robustness, describe_robustness
from lesionwise.evaluation.runs.ensemble import made_of
from lesionwise.evaluation.runs.evaluated import EvaluatedRun, load_evaluated
from lesionwise.evaluation.runs.scores import OUT_OF_FOLD
from lesionwise.evaluation.scores.evaluate import LOSSES, Evaluation
from lesionwise.evaluation.scores.gaps import describe_gaps
from lesionwise.evaluation.scores.subgroups import describe_subgroup
from lesionwise.evaluation.stability import read_stability
from lesionwise.experiments.image_facts import run_images
from lesionwise.explain.record import Explanation, describe_explanation
from lesionwise.files import read_json, write_text
from lesionwise.labels import NAMES
from lesionwise.page.shell import templates
from lesionwise.recipe import load_recipe
from lesionwise.report.summary import main_sentences
from lesionwise.report.trust import calibration_facts, shown_part
from lesionwise.run_folder import RunFolder, open_run_folder, read_split_facts, trained_with
from lesionwise.split.groups import CONFIRMED_PAIRS
from lesionwise.split.split_file import read_split

_SHOWN: Final = ("recall", "precision", "specificity", "f1", "auc", "average_precision")  # of each diagnosis
_FOLDERS: Final = re.compile(r"""(?:^|(?<=[='"]))(?:~|\.\.?|[A-Za-z]:)?(?:[/\\][^/\\'"]*)*[/\\](?=[^'"])""")


def write_model_card(
    run: RunFolder | EvaluatedRun, *, licence: str = "", folds: RunFolder | None = None, notes: str = ""
) -> Path:
    """Write `model_card.md` of an evaluated run and return its path.

    Args:
        licence: Licence of the weights, such as "CC BY-NC 4.0"; empty if not stated.
        folds: A cross-validation of the run's recipe, for an ensemble one of such; its scores are
            shown apart from the run's own.
        notes: What only its makers know, in Markdown, taken over as it is.
    """
    found = load_evaluated(open_run_folder(run.path)) if isinstance(run, RunFolder) else run
    run = found.folder
    environment = templates("lesionwise.report", html=False)
    environment.filters["bullets"] = lambda sentences: "\n".join(f"- {one}" for one in sentences)
    text = environment.get_template("model_card.md").render(
        **card_facts(found),
        licence=licence_in_words(licence),
        licence_lines=licence_lines(licence) if licence else [],
        folds=_folds_facts(run, folds) if folds else None,
        notes=notes.strip(),
    )
    write_text(run.model_card, text)
    return run.model_card


def card_facts(found: EvaluatedRun) -> dict[str, Any]:
    """Return all that the card says; None where something was not measured."""
    run, part, evaluation, calibration = found.folder, found.part, found.evaluation, found.calibration
    _, explanation = shown_part(run.explanation, part, Explanation)
    broken_on, robustness = shown_part(run.robustness, part, Robustness)
    members = made_of(run)
    if any(member.kind != "run" for member in members):
        raise RunError(
            f"{run.path}: combines cross-validations, which give no answers of their own. Pass it to --folds."
        )
    rejection = run_rejection(run)
    collection = collection_of(read_split(run.split).frame["image_id"]) if run.split.is_file() else None
    return {
        "name": run.path.resolve().name,
        "part": part,
        "evaluation": evaluation,
        "shown": _SHOWN,
        "losses": LOSSES,
        "diagnoses": NAMES,
        "sentences": main_sentences(evaluation, None),
        "gaps": describe_gaps(evaluation.gaps) if evaluation.gaps else None,
        "subgroups": [
            {**row, "whose": describe_subgroup(row["column"], row["value"])} for row in evaluation.subgroups
        ],
        "missing_data": run_images(run, found.image_ids).missing,
        "confidence": calibration_facts(found.check, calibration) if calibration else None,
        "cutoff": rejection.cutoff if rejection else None,
        "accept": ACCEPT,
        "accept_each": ACCEPT_EACH,
        "let_pass": rejection.accepted if rejection else {},
        "outsiders": read_json(run.outsiders) if run.outsiders.is_file() else None,
        "explanation": describe_explanation(explanation) if explanation else None,
        "robustness": describe_robustness(robustness) if robustness else None,
        "broken_on": broken_on,
        "stability": read_stability(run),
        "recipes": [load_recipe(member.config).published() for member in members],
        "seeds": [read_json(member.data)["seed"] for member in members],
        "looks": [trained_with(member) for member in members],
        "data": read_json(members[0].data),
        "joined": _joined_pairs(run),
        "version": read_json(run.environment)["packages"]["lesionwise"],
        **_making(run, members),
        "split": read_split_facts(run),
        "collection": collection,
        "phantom": PHANTOM_WARNING if collection == "phantom" else None,
    }


def _joined_pairs(run: RunFolder) -> int:
    """Return how many pairs of the run's images are known to show one lesion under two ids."""
    if not run.split.is_file():
        return 0
    known = set(read_split(run.split).frame["image_id"])
    return sum(known.issuperset(pair) for pair in CONFIRMED_PAIRS)


def _making(run: RunFolder, members: Sequence[RunFolder]) -> dict[str, list[str]]:
    """Return the commands that made the members and then the run, and the software that they ran with."""
    steps = [step for each in members for step in (*_origin(each), each)]
    environments = [read_json(step.environment) for step in (*steps, *([] if members == [run] else [run]))]
    software = [
        ", ".join([f"Python {each['python']}", *map(" ".join, each["packages"].items())])
        for each in environments
    ]
    return {
        "commands": [_without_folders(each["command"]) for each in environments],
        "software": list(dict.fromkeys(software)),
    }


def _origin(run: RunFolder) -> list[RunFolder]:
    """Return the run whose weights another reads, where it is still there."""
    found = [RunFolder(Path(read_json(run.reread)["of"]))] if run.reread.is_file() else []
    return [origin for origin in found if origin.environment.is_file()]


def _folds_facts(run: RunFolder, folds: RunFolder) -> dict[str, Any]:
    """Return what a cross-validation shows about a run's recipe, and the settings in which it differs."""
    own, theirs = ([load_recipe(each.config).published() for each in made_of(of)] for of in (run, folds))
    ours, others = (", ".join(recipe["model"] for recipe in recipes) for recipes in (own, theirs))
    if ours != others:
        raise RunError(f"{folds.path}: cross-validates {others}, but the run uses {ours}.")
    _verify_same_exam(run, folds)
    parts = read_json(folds.scores)["parts"] if folds.scores.is_file() else {}
    if OUT_OF_FOLD not in parts:
        raise RunError(f"{folds.path}: has no finished fold yet.")
    evaluation = Evaluation.from_json(parts[OUT_OF_FOLD])
    records = [read_json(each.cross_validation) for each in made_of(folds)]
    return {
        "evaluation": evaluation,
        "done": records[0]["done"],
        "means": records[0]["mean_over_folds"] if len(records) == 1 else {},
        "differing": [
            f"{prefix}{key} = {there.get(key)}"
            for here, there in zip(own, theirs, strict=True)
            for prefix in [f"{here['model']}: " if len(own) > 1 else ""]
            for key in here | there
            if here.get(key) != there.get(key)
        ],
    }


def _verify_same_exam(run: RunFolder, folds: RunFolder) -> None:
    """Make sure that the folds are those of the run's split, whose test part they left alone."""
    own, theirs = (read_split_facts(each)["fingerprint"] for each in (run, folds))
    if own != theirs:
        raise RunError(
            f"{folds.path}: cross-validates split {theirs[:12]}, but the run's split is {own[:12]}. "
            "Cross-validate with the split of the run, so that its test part stays unseen."
        )


def _without_folders(command: str) -> str:
    """Return a command without the folders of the machine that it ran on."""
    try:
        words = shlex.split(command)
    except ValueError:  # a lone quotation mark
        words = []
    if shlex.join(words) == command:
        return shlex.join(_FOLDERS.sub("", word) for word in words)
    return " ".join(_FOLDERS.sub("", word) for word in command.split(" "))
