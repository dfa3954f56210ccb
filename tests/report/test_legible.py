"""No word of a figure lies on a line, a band or another word, whatever the size of the data."""

from collections.abc import Iterator

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from lesionwise.evaluation.calibration.decision_curve import decision_curve_table
from lesionwise.evaluation.scores.curves import (
    precision_recall_table,
    reliability_table,
    risk_coverage_table,
    roc_table,
)
from lesionwise.evaluation.scores.evaluate import evaluate
from lesionwise.report import figures

SIZES = (35, 210, 1400)


def drawn_figures(images: int) -> Iterator[tuple[str, Figure]]:
    """Yield each figure of probabilities for a model that is right more often than not."""
    rng = np.random.default_rng(images)
    truth = np.arange(images) % 7
    logits = rng.normal(size=(images, 7)) + 2.2 * np.eye(7)[truth]
    prob = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    lesions = np.array([f"L{number // 2}" for number in range(images)])
    lesions = np.array([f"{lesion}-{dx}" for lesion, dx in zip(lesions, truth, strict=True)])
    sample = truth, prob, lesions
    found = evaluate(*sample, resamples=20)
    yield "roc", figures.plot_roc(roc_table(*sample, resamples=20), found)
    precision = precision_recall_table(*sample, resamples=20)
    yield "precision-recall", figures.plot_precision_recall(precision, found)
    yield "reliability", figures.plot_reliability(reliability_table(*sample, resamples=20))
    yield "decision", figures.plot_decision_curve(decision_curve_table(*sample, resamples=20))
    yield "risk", figures.plot_risk_coverage(risk_coverage_table(*sample, resamples=20))


def boxes_of_words(figure: Figure, axes: Axes) -> list[Bbox]:
    """Return where the words inside or beside a panel are, but not those of its axes."""
    titles = [axes.title, axes._left_title, axes._right_title]  # type: ignore[attr-defined]  # noqa: SLF001 (no public way)
    words = [text for text in (*axes.texts, *titles) if text.get_text().strip()]
    legends = [legend for legend in (axes.get_legend(), *figure.legends) if legend]
    return [item.get_window_extent() for item in (*words, *legends)]


def points_of_lines(axes: Axes) -> np.ndarray:
    """Return points along every line and around every band of a panel, in pixels."""
    paths = [line.get_path().transformed(line.get_transform()) for line in axes.lines]
    for band in axes.collections:
        paths += [path.transformed(band.get_transform()) for path in band.get_paths()]
    points = [np.asarray(path.interpolated(20).vertices) for path in paths]
    return np.concatenate([each for each in points if len(each) > 1])


@pytest.mark.parametrize("images", SIZES)
def test_no_word_lies_on_a_line_or_on_another_word(images: int) -> None:
    for name, figure in drawn_figures(images):
        figure.draw_without_rendering()
        for axes in figure.axes:
            if not axes.axison:
                continue
            boxes = boxes_of_words(figure, axes)
            points = points_of_lines(axes)
            low, high = (
                np.asarray(axes.bbox.min) - 2,
                np.asarray(axes.bbox.max) + 2,
            )  # what lies outside is not drawn
            inside = points[(points >= low).all(axis=1) & (points <= high).all(axis=1)]
            for place, box in enumerate(boxes):
                hit = (inside > [box.x0, box.y0]).all(axis=1) & (inside < [box.x1, box.y1]).all(axis=1)
                assert not hit.any(), f"{name}: a line crosses a word of {axes.get_title('left')}"
                assert not any(box.overlaps(other) for other in boxes[:place]), f"{name}: two words overlap"
