"""What the referee found, in sentences that can be quoted."""

from typing import Final

from lesionwise.evaluation.scores.evaluate import Evaluation
from lesionwise.split.check import REASONS, SplitCheck
from lesionwise.wording import counted

_SHOWN: Final = 5  # lesions and pairs named; the JSON holds all
_MEANING: Final = {
    "same image": "also among the training images themselves",
    "same lesion": "another photograph of a lesion of the training set",
    "hidden pair": "a lesion of the training set under another lesion id, or identical pixels",
}


def describe_check(check: SplitCheck) -> str:
    """Return the verdict, its reasons and its scores as plain text."""
    blocks = [_verdict(check), *([] if check.clean else [_reasons(check), _classes(check), _places(check)])]
    if check.scores:
        blocks.append(_scores(check))
    return "\n\n".join(block for block in blocks if block)


def _verdict(check: SplitCheck) -> str:
    lists = f"{check.train_images:,} training and {counted(check.test_images, 'test image')}"
    repeats = counted(check.repeated, "row repeats", "rows repeat")
    again = f" (In the test list, {repeats} an image.)" if check.repeated else ""
    if check.assumed:
        return _verdict_without_training_list(check)
    if check.clean:
        return f"CLEAN. Among {lists}, no test image shows a lesion that was trained on.{again}"
    return (
        f"TAINTED. {_tainted(check)} {counted(check.train_images, 'training image')}.{again} Scores on this "
        "test set do not show how well the model works on new lesions."
    )


def _verdict_without_training_list(check: SplitCheck) -> str:
    if check.clean:
        return (
            f"CLEAN with any training set. Of {counted(check.test_images, 'test image')}, none shows a "
            "lesion that another image of the table shows."
        )
    return (
        f"TAINTED if a model was trained on the rest. {_tainted(check)} "
        f"{counted(check.train_images, 'other image')} of the table. No list of training images was given, "
        "so this is the largest possible number."
    )


def _tainted(check: SplitCheck) -> str:
    shows = counted(len(check.tainted), f"({check.share:.1%}) shows", f"({check.share:.1%}) show")
    return f"Of {counted(check.test_images, 'test image')}, {shows} a lesion that is also among the"


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
    for part in ("all", "clean", "tainted"):
        if part in check.scores:
            lines.append(_score_line(part, check.scores[part]))
        elif part == "clean":
            lines.append("  clean    no test image is left")
    if "clean" in check.scores and not check.clean:
        clean = check.scores["clean"]
        score = f"{clean.title('balanced_accuracy')} {clean.overall['balanced_accuracy']}"
        lines.append(f"The score to quote is that of the clean rest: {score}.")
    return "\n".join(lines)


def _score_line(part: str, evaluation: Evaluation) -> str:
    overall = evaluation.overall
    return (
        f"  {part:8} {counted(evaluation.images, 'image')} of {counted(evaluation.lesions, 'lesion')}: "
        f"{evaluation.title('balanced_accuracy')} {overall['balanced_accuracy']}, accuracy "
        f"{overall['accuracy']}"
    )
