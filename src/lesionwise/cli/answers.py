"""The answers of `lesionwise predict` on the screen, or as JSON, where no table is written."""

import shlex
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lesionwise.bundle.rendering import (
    describe_answer,
    describe_counts,
    describe_several,
    name_width,
    table_head,
    table_row,
)
from lesionwise.cli.console import Display, describe_left_out, left_out_json, print_result, prints_json
from lesionwise.cli.gallery import describe_similar
from lesionwise.predict.files import Tally, answer_pictures, fresh_pictures
from lesionwise.predict.writing import Kept
from lesionwise.wording import counted

if TYPE_CHECKING:
    from lesionwise.bundle.engine import Engine
    from lesionwise.data.pictures import Pictures
    from lesionwise.predict.files import OnAnswers
    from lesionwise.predict.similar import SimilarFinder


def print_answers(
    engine: "Engine",
    pictures: "Pictures",
    options: dict[str, Any],
    *,
    on_answers: "OnAnswers | None",
    similar: "SimilarFinder | None" = None,
) -> Tally:
    """Predict images and print each answer as soon as it is there; JSON is printed at the end."""
    tally, results = Tally(), []
    faults: list[list[str]] = []
    first = next(iter(pictures))
    alone = len(pictures) == 1 or all(one.path == first.path and not one.named for one in pictures)
    width = 0 if alone else name_width(picture.image_id for picture in pictures)
    as_json = prints_json()
    if not (alone or as_json):
        print_result(table_head(width))
    with Display(quiet=not as_json) as display:  # rows show the progress themselves
        fresh = fresh_pictures(pictures, Kept(), tally, faults.extend)
        for batch, answers in answer_pictures(engine, fresh, **options):
            faults += batch.faults
            tally.add(batch, answers)
            if answers is not None and batch.pixels is not None:
                if on_answers:
                    on_answers(batch.pictures, batch.pixels, answers)
                named = replace(answers, names=tuple(picture.path for picture in batch.pictures))
                near = similar.find(answers, batch.pictures) if similar else [None] * len(answers)
                for picture, answer, found in zip(batch.pictures, named, near, strict=True):
                    if as_json:
                        also = {} if found is None else {"similar": [one.to_json() for one in found]}
                        seen = {"image_id": picture.image_id, "path": picture.path}
                        results.append({**seen, **answer.to_json(), **also})
                    elif alone:
                        print_result(describe_answer(answer))
                        if found is not None:
                            print_result(describe_similar(found))
                    else:
                        alike = "" if found is None else f"; similar: {' '.join(one.dx for one in found)}"
                        print_result(table_row(answer, width, picture.image_id) + alike)
            display.on_work("predicting images", tally.done, len(pictures))
    value = {
        "results": results,
        "left_out": left_out_json(faults),
        **tally.to_json(),
        "model": {"name": engine.description.name, "sha256": engine.bundle.sha256},
        "precision": engine.precision,
    }
    summary = _summary(tally, faults, alone=alone)
    if summary or as_json:
        print_result("\n".join(summary), value)
    return tally


def _summary(tally: Tally, faults: list[list[str]], *, alone: bool) -> list[str]:
    """Return the counts, what could not be used, and the next command."""
    lines = []
    if not alone:
        counts = describe_counts(tally.by_decision)
        lines.append(f"{counted(tally.predicted, 'image')}{f': {counts}' if counts else ''}.")
    if tally.repeated:
        lines.append(f"{counted(tally.repeated, 'repeated image was', 'repeated images were')} left out.")
    if tally.several:
        lines.append(describe_several(tally.several))
    lines += describe_left_out(faults)
    if not alone:
        again = shlex.join(["lesionwise", *sys.argv[1:], "--out", "predictions.csv"])
        lines.append(f"To write all numbers to a table: {again}")
    return lines
