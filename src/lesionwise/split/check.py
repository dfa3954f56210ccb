"""The referee: which images of a test set show a lesion that was trained on, and how that changes the score.

Here: judging two lists of ids, scoring predictions on the clean rest, and the verdict in sentences that can
be quoted. Not here: reading the lists (`id_lists`), refusing a split of one's own (`split_file`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from lesionwise.arrays import Integers
from lesionwise.errors import DataError
from lesionwise.evaluation.predictions import Predictions
from lesionwise.evaluation.scores.evaluate import Evaluation, evaluate
from lesionwise.evaluation.tables import predicted
from lesionwise.labels import CODES, INDEX
from lesionwise.names import image_id_of, match_names
from lesionwise.split.groups import CONFIRMED_PAIRS, Pair, lesion_groups
from lesionwise.wording import counted

REASONS: Final = ("same image", "same lesion", "hidden pair")
"""How a test image is tainted, the plainest first: each image is counted under the first that holds."""
_SHOWN: Final = 5  # lesions and pairs named; the JSON holds all
_MEANING: Final = {
    "same image": "also among the training images themselves",
    "same lesion": "another photograph of a lesion of the training set",
    "hidden pair": "a lesion of the training set under another lesion id, or identical pixels",
}


@dataclass(frozen=True)
class ClassTaint:
    """How much of the test images of one diagnosis is tainted."""

    images: int
    tainted: int

    @property
    def share(self) -> float:
        """Tainted part of the images, from 0 to 1."""
        return self.tainted / self.images if self.images else 0.0


@dataclass(frozen=True)
class SplitCheck:
    """What the referee found.

    Attributes:
        repeated: Rows of the test list that repeat an image of it.
        tainted: Reason, one of `REASONS`, by tainted test image.
        lesions: Lesion groups that are on both sides, each with its train and test images.
        assumed: No training list was given, so all images of the table outside the test list stand for it:
            this is the most that can be tainted.
        scores: Evaluation of the predictions on `all`, `clean` and `tainted` test images, as far as there are
            any; empty without predictions.
    """

    train_images: int
    test_images: int
    repeated: int
    tainted: dict[str, str]
    lesions: dict[str, dict[str, list[str]]]
    pairs: list[Pair]
    by_class: dict[str, ClassTaint]
    scores: dict[str, Evaluation]
    assumed: bool = False

    @property
    def clean(self) -> bool:
        """Whether no test image is tainted."""
        return not self.tainted

    @property
    def share(self) -> float:
        """Tainted part of the test images, from 0 to 1."""
        return len(self.tainted) / self.test_images

    def count(self, reason: str) -> int:
        """Return the number of test images that are tainted for a reason."""
        return sum(value == reason for value in self.tainted.values())

    def to_json(self) -> dict[str, Any]:
        """Return plain dictionaries and lists with every id."""
        return {
            "clean": self.clean,
            "training_list_given": not self.assumed,
            "train_images": self.train_images,
            "test_images": self.test_images,
            "repeated_test_rows": self.repeated,
            "tainted_images": len(self.tainted),
            "tainted_share": self.share,
            "by_reason": {reason: self.count(reason) for reason in REASONS},
            "by_class": {
                code: {**vars(taint), "share": taint.share} for code, taint in self.by_class.items()
            },
            "tainted": self.tainted,
            "lesions": self.lesions,
            "hidden_pairs": [list(pair) for pair in self.pairs],
            "scores": {part: evaluation.to_json() for part, evaluation in self.scores.items()},
        }


def check_split(
    train: Sequence[str] | None,
    test: Sequence[str],
    table: pd.DataFrame,
    *,
    pairs: Iterable[Pair] = (),
    predictions: Predictions | None = None,
) -> SplitCheck:
    """Judge a training and a test list of image ids, however they were made.

    Args:
        train: Ids of the training images; repeats, as of oversampling, are fine. If None, all images of the
            table that are not in the test list.
        table: Table with image_id and lesion_id of every image, and dx if known; `known_lesions` for
            HAM10000.
        predictions: Predictions of the test images, to be scored as a whole and on the clean rest.
    """
    pairs = list(pairs)
    group = dict(zip(table["image_id"], lesion_groups(table, pairs), strict=True))
    test = _known_names(test, group, "test")
    tested = sorted(set(test))
    trained = set(group) - set(test) if train is None else set(_known_names(train, group, "training"))
    tainted = find_taint(trained, tested, table, pairs)
    return SplitCheck(
        train_images=len(trained),
        test_images=len(tested),
        repeated=len(test) - len(tested),
        tainted=tainted,
        lesions=_lesions_on_both_sides(trained, tainted, group),
        pairs=_pairs_across([*CONFIRMED_PAIRS, *pairs], trained, set(tested)),
        by_class=_by_class(tested, tainted, table),
        scores=_score(predictions, tested, tainted, table, group) if predictions else {},
        assumed=train is None,
    )


def find_taint(
    train: Iterable[str], test: Iterable[str], table: pd.DataFrame, pairs: Iterable[Pair] = ()
) -> dict[str, str]:
    """Return the reason, one of `REASONS`, of each test image that is tainted; see `check_split`."""
    trained = set(train)
    group = dict(zip(table["image_id"], lesion_groups(table, pairs), strict=True))
    lesion = dict(zip(table["image_id"], table["lesion_id"], strict=True))
    lesions, groups = {lesion[image] for image in trained}, {group[image] for image in trained}
    return {
        image: REASONS[0 if image in trained else 1 if lesion[image] in lesions else 2]
        for image in sorted(set(test))
        if group[image] in groups
    }


def _known_names(ids: Sequence[str], group: Mapping[str, str], name: str) -> list[str]:
    """Return how the table of lesions names the images of a list, repeats included."""
    if not ids:
        raise DataError(f"Expected the ids of the {name} images but the list is empty.")
    different = list(dict.fromkeys(ids))
    # Copies of an image in several folders are that image, however often a list names them.
    known = {
        image: bare for image in different if (bare := image_id_of(image)) in group and image not in group
    }
    known |= match_names([image for image in different if image not in known], list(group))
    unknown = sorted(set(different) - set(known))
    if unknown:
        raise DataError(
            f"the table of lesions lacks {len(unknown):,} of {counted(len(different), f'{name} image')}, "
            f"such as {unknown[0]}; it names images such as {next(iter(group), 'none')}, so they cannot be "
            "judged. The included table is that of HAM10000; pass the table of other images with --table "
            "(image_id,lesion_id,dx)."
        )
    return [known[image] for image in ids]


def _lesions_on_both_sides(
    trained: set[str], tainted: Mapping[str, str], group: Mapping[str, str]
) -> dict[str, dict[str, list[str]]]:
    names = sorted({group[image] for image in tainted})
    sides: dict[str, dict[str, list[str]]] = {name: {"train": [], "test": []} for name in names}
    for side, images in (("train", trained), ("test", tainted)):
        for image in sorted(images):
            if group[image] in sides:
                sides[group[image]][side].append(image)
    return sides


def _pairs_across(pairs: Iterable[Pair], train: set[str], test: set[str]) -> list[Pair]:
    """Return the pairs with one image on each side, each in the order of its ids, sorted and once."""
    sided = [pair for a, b in pairs for pair in ((a, b), (b, a)) if pair[0] in train and pair[1] in test]
    return sorted({(min(pair), max(pair)) for pair in sided})


def _by_class(tested: list[str], tainted: Mapping[str, str], table: pd.DataFrame) -> dict[str, ClassTaint]:
    if "dx" not in table:
        return {}
    dx = table.set_index("image_id")["dx"].reindex(tested)
    hit = dx.index.isin(list(tainted))
    return {code: ClassTaint(int((dx == code).sum()), int(((dx == code) & hit).sum())) for code in CODES}


def _score(
    predictions: Predictions,
    tested: list[str],
    tainted: Mapping[str, str],
    table: pd.DataFrame,
    group: Mapping[str, str],
) -> dict[str, Evaluation]:
    answers = predicted(predictions, tested, "the test list")
    y_true = _truth(answers, tested, table)
    groups = np.array([group[image] for image in tested])
    hit = np.array([image in tainted for image in tested])
    parts = {"all": np.ones(len(hit), dtype=bool), "clean": ~hit, "tainted": hit}
    return {
        part: evaluate(y_true[mask], answers.y_prob[mask], groups[mask])
        for part, mask in parts.items()
        if mask.any()
    }


def _truth(answers: Predictions, tested: list[str], table: pd.DataFrame) -> Integers:
    """Return the true classes: the table's, which the predictions may not contradict."""
    if "dx" not in table:
        if answers.y_true is None:
            raise DataError(
                "Neither the table nor the predictions hold the true diagnoses. Add dx or y_true."
            )
        return answers.y_true
    truth = np.asarray(table.set_index("image_id")["dx"].reindex(tested).map(INDEX), np.int64)
    if answers.y_true is not None:
        wrong = np.flatnonzero(answers.y_true != truth)
        if len(wrong):
            first = wrong[0]
            raise DataError(
                f"The predictions call {tested[first]} {CODES[answers.y_true[first]]} but the table says "
                f"{CODES[truth[first]]}; {counted(len(wrong), 'image')} in all. Check the order of the "
                "columns."
            )
    return truth


def describe_check(check: SplitCheck) -> str:
    """Return the verdict, its reasons and its scores as plain text."""
    blocks = [_verdict(check), *([] if check.clean else [_reasons(check), _classes(check), _places(check)])]
    if check.scores:
        blocks.append(_scores(check))
    return "\n\n".join(block for block in blocks if block)


def _verdict(check: SplitCheck) -> str:
    images, rest = counted(check.test_images, "test image"), check.train_images
    shows = counted(len(check.tainted), f"({check.share:.1%}) shows", f"({check.share:.1%}) show")
    tainted = f"Of {images}, {shows} a lesion that is also among the"
    repeats = counted(check.repeated, "row repeats", "rows repeat")
    again = f" (In the test list, {repeats} an image.)" if check.repeated else ""
    if check.assumed and check.clean:
        return (
            f"CLEAN with any training set. Of {images}, none shows a lesion that another image of the table "
            "shows."
        )
    if check.assumed:
        return (
            f"TAINTED if a model was trained on the rest. {tainted} {counted(rest, 'other image')} of the "
            "table. No list of training images was given, so this is the largest possible number."
        )
    if check.clean:
        return (
            f"CLEAN. Among {rest:,} training and {images}, no test image shows a lesion that was trained "
            f"on.{again}"
        )
    return (
        f"TAINTED. {tainted} {counted(rest, 'training image')}.{again} Scores on this test set do not show "
        "how well the model works on new lesions."
    )


def _reasons(check: SplitCheck) -> str:
    lines = [f"  {check.count(reason):,} {_MEANING[reason]}" for reason in REASONS if check.count(reason)]
    return "\n".join(["Of these tainted test images:", *lines])


def _classes(check: SplitCheck) -> str:
    if not check.by_class:
        return ""
    lines = [
        f"  {code:6}{taint.tainted:6,} of {taint.images:6,}  ({taint.share:.1%})"
        for code, taint in check.by_class.items()
        if taint.images
    ]
    return "\n".join(["Tainted test images by diagnosis:", *lines])


def _places(check: SplitCheck) -> str:
    lines = [f"{counted(len(check.lesions), 'lesion is', 'lesions are')} on both sides, such as:"]
    for lesion, sides in list(check.lesions.items())[:_SHOWN]:
        lines.append(
            f"  {lesion}: {', '.join(sides['test'])} in test, {', '.join(sides['train'])} in training"
        )
    if check.pairs:
        shown = "; ".join(" and ".join(pair) for pair in check.pairs[:_SHOWN])
        more = f"; and {len(check.pairs) - _SHOWN} more" if len(check.pairs) > _SHOWN else ""
        lines.append(f"Pairs of one lesion under two ids, one on each side: {shown}{more}.")
    return "\n".join(lines)


def _scores(check: SplitCheck) -> str:
    lines = ["Scores with 95 % intervals, lesions resampled:"]
    lines += [
        f"  {part:8} {counted(found.images, 'image')} of {counted(found.lesions, 'lesion')}: "
        f"{found.title('balanced_accuracy')} {found.overall['balanced_accuracy']}, accuracy "
        f"{found.overall['accuracy']}"
        for part, found in check.scores.items()
    ]
    clean = check.scores.get("clean")
    if clean is None:
        lines.insert(2, "  clean    no test image is left")
    elif not check.clean:
        score = f"{clean.title('balanced_accuracy')} {clean.overall['balanced_accuracy']}"
        lines.append(f"The score to quote is that of the clean rest: {score}.")
    return "\n".join(lines)
