import numpy as np
import pytest

from conftest import NotedProgress
from lesionwise.bundle import precision
from lesionwise.bundle.engine import Engine
from lesionwise.data.dataset import Dataset
from lesionwise.data.images import open_image
from lesionwise.data.perturbations import HARMLESS
from lesionwise.predict import stability
from lesionwise.predict.stability import stability_of
from lesionwise.split.groups import lesion_groups

ROWS = np.arange(0, 60, 3)


def test_every_change_is_held_against_the_picture_it_was_made_of(
    engine: Engine, drawn: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "has_instructions", lambda _: False)
    groups = lesion_groups(drawn.table)[ROWS]
    noted = NotedProgress()
    found = stability_of(engine, drawn, ROWS, groups, progress=noted)
    assert list(found.changes) == [*HARMLESS, "PNG"]
    assert (found.images, found.lesions) == (len(ROWS), len(set(groups)))
    assert noted.work == [("changing pictures", number + 1, len(ROWS)) for number in range(len(ROWS))]
    plain, mirrored = [], []
    for row in ROWS:
        with open_image(drawn.paths[row]) as opened:
            plain.append(opened.read(opened.upright_sides[::-1]))
            mirrored.append(plain[-1][:, ::-1])
    before, after = (engine.predict(pictures).decisions for pictures in (plain, mirrored))
    kept = found.changes["mirrored"]
    assert kept.top.value == pytest.approx(np.mean(before.top == after.top))
    assert kept.decision.value == pytest.approx(np.mean(before.decision == after.decision))
    assert kept.melanoma is not None
    same_flag = before.above_melanoma_threshold == after.above_melanoma_threshold
    assert kept.melanoma.value == pytest.approx(np.mean(same_flag))
    as_files = engine.predict([drawn.paths[row] for row in ROWS]).decisions
    assert found.changes["PNG"].top.value == pytest.approx(np.mean(as_files.top == before.top))


def test_bf16_is_a_row_where_the_processor_has_it(
    engine: Engine, drawn: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "has_instructions", lambda _: True)
    monkeypatch.setattr(stability, "HARMLESS", {})
    monkeypatch.setattr(stability, "_WAYS", ("file", "pixels"))
    found = stability_of(engine, drawn, ROWS[:7], lesion_groups(drawn.table)[ROWS[:7]])
    assert list(found.changes) == ["PNG", "bf16"]
