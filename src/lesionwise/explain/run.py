"""`lesionwise explain`: maps of a run's images, their tests, overlays and the page."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from lesionwise.arrays import Integers
from lesionwise.data.images import read_image
from lesionwise.data.masks import WHOLE, Box, find_masks
from lesionwise.data.preprocess import find_field_of_view
from lesionwise.errors import DataError, RunError
from lesionwise.evaluation.runs.predictions import read_run_predictions
from lesionwise.evaluation.runs.scores import verify_looked_at
from lesionwise.execution import Execution
from lesionwise.explain.measure import Explained, KeptPart, explain_images, lesion_shares_of, measure
from lesionwise.explain.overlay import worth_showing, write_overlays
from lesionwise.explain.page import write_page
from lesionwise.explain.record import Explanation
from lesionwise.files import read_part, write_part, write_text
from lesionwise.labels import CODES
from lesionwise.recipe import Recipe
from lesionwise.run_folder import RunFolder
from lesionwise.training.fit import load_best_network
from lesionwise.training.prepare import TrainingData
from lesionwise.training.run import prepare_again

_FRAME_PX = (450, 600)  # enough to find the black border of a round view


@dataclass(frozen=True)
class Explanations:
    """The results of a call.

    Attributes:
        record: Results of the tests; None if images were named, because a few images are no test.
    """

    page: Path
    record: Explanation | None
    images: int


def explain_run(
    run: RunFolder, part: str = "val", *, image_ids: Sequence[str] = (), execution: Execution = Execution()
) -> Explanations:
    """Explain a run's images: test the maps of a part, or draw those of named images.

    Args:
        part: Part of the images; `test` only after `evaluate --final` predicted it.
        image_ids: Images of that part to draw, without tests. Left out, the part is tested, and the images
            are chosen that a reader should see first.

    Raises:
        RunError: If the test part was not predicted yet, or the data are not those of the training.
        DataError: If a named image is not in the part.
    """
    verify_looked_at(run, part)
    recipe, data, _ = prepare_again(run, execution)
    if part == "val" and recipe.train_on_val:
        raise RunError(f"{run.path}: was trained on val as well. Add --part cal.")
    rows = _named(data, part, image_ids) if image_ids else data.rows(part)
    ids, groups = data.image_id[rows], data.group[rows]
    answers = read_run_predictions(run, part).named(ids.tolist()).y_prob
    network, progress = load_best_network(run, recipe), execution.progress
    explained = explain_images(network, recipe, data.pixels, rows, answers, progress=progress)
    masks, kept = find_masks(data.dataset.folder), _kept_part(recipe, data)
    if image_ids:
        record = read_part(run.explanation, part, Explanation)
    else:
        record = measure(explained, ids, data.y[rows], groups, masks, kept=kept, progress=progress)
        write_part(run.explanation, part, record)
    table = _table(explained, data)
    if masks:
        shares = lesion_shares_of(explained, ids, masks, kept)
        table = table.assign(area=shares.area, share=shares.own)
    write_text(
        run.overlays / f"{part}.csv", table.to_csv(index=False, float_format="%.4f", lineterminator="\n")
    )
    chosen = list(image_ids) or worth_showing(table)
    place = {name: at for at, name in enumerate(ids.tolist())}
    places = [place[name] for name in chosen]
    for at in places:
        path, values = data.dataset.paths[rows[at]], explained.maps[at].numpy()
        write_overlays(run.overlays / part, str(ids[at]), path, values, recipe)
    page = write_page(run, part, explained.method.value, table.iloc[places], record)
    return Explanations(page, None if image_ids else record, len(places))


def _named(data: TrainingData, part: str, image_ids: Sequence[str]) -> Integers:
    inside = dict(zip(data.image_id[data.rows(part)].tolist(), data.rows(part).tolist(), strict=True))
    lost = [name for name in image_ids if name not in inside]
    if lost:
        raise DataError(f"Expected images of {part} but it has no {', '.join(lost)}. Pass another --part.")
    return np.array([inside[name] for name in image_ids], np.int64)


def _table(explained: Explained, data: TrainingData) -> pd.DataFrame:
    codes = np.asarray(CODES)
    return pd.DataFrame(
        {
            "image_id": data.image_id[explained.rows],
            "true": codes[data.y[explained.rows]],
            "predicted": codes[explained.classes.numpy()],
            "confidence": explained.confidence,
            "area": np.nan,
            "share": np.nan,
        }
    )


def _kept_part(recipe: Recipe, data: TrainingData) -> KeptPart:
    """Return the function to the part of a photograph in the field of view, as fractions of its sides."""
    paths = dict(zip(data.image_id.tolist(), data.dataset.paths, strict=True))

    def kept(image_id: str) -> Box:
        rows, columns = find_field_of_view(read_image(paths[image_id], _FRAME_PX))
        height, width = _FRAME_PX
        return columns.start / width, rows.start / height, columns.stop / width, rows.stop / height

    return kept if recipe.field_of_view else lambda _: WHOLE
