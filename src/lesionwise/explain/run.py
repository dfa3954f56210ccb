"""`lesionwise explain`: maps of a run's images, their tests, overlays and the page."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lesionwise.data.images import read_image
from lesionwise.data.masks import WHOLE, Box, find_masks
from lesionwise.data.preprocess import find_field_of_view
from lesionwise.errors import DataError, RunError
from lesionwise.evaluation.runs.predictions import read_run_predictions
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
    if part == "test" and not run.predictions("test").is_file():
        raise RunError(
            f'{run.path}: its test part was not looked at yet. Run "lesionwise evaluate {run.path} --final" '
            "first, which notes the look in the ledger."
        )
    recipe, data, _ = prepare_again(run, execution)
    if part == "val" and recipe.train_on_val:
        raise RunError(f"{run.path}: was trained on val as well. Add --part cal.")
    rows = _named(data, part, image_ids) if image_ids else data.rows(part)
    ids, groups = data.image_id[rows], data.group[rows]
    network, answers = load_best_network(run, recipe), _answers(run, part, ids)
    progress = execution.progress
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
    shown = _draw(run, part, explained, data, table=table, image_ids=chosen)
    page = write_page(run, part, explained.method.value, shown, record)
    return Explanations(page, None if image_ids else record, len(shown))


def _named(data: TrainingData, part: str, image_ids: Sequence[str]) -> NDArray[np.int64]:
    inside = dict(zip(data.image_id[data.rows(part)].tolist(), data.rows(part).tolist(), strict=True))
    lost = [name for name in image_ids if name not in inside]
    if lost:
        raise DataError(f"Expected images of {part} but it has no {', '.join(lost)}. Pass another --part.")
    return np.array([inside[name] for name in image_ids], np.int64)


def _answers(run: RunFolder, part: str, image_ids: NDArray[np.str_]) -> NDArray[np.float64]:
    """Return the probabilities in a run's predictions for some images of a part, shape (N, C)."""
    predictions = read_run_predictions(run, part)
    place = {name: at for at, name in enumerate(predictions.image_id)}
    return predictions.y_prob[[place[name] for name in image_ids.tolist()]]


def _table(explained: Explained, data: TrainingData) -> pd.DataFrame:
    codes = np.asarray(CODES)
    return pd.DataFrame(
        {
            "image_id": data.image_id[explained.rows],
            "true": codes[data.y[explained.rows]],
            "said": codes[explained.classes.numpy()],
            "confidence": explained.confidence,
            "area": np.nan,
            "share": np.nan,
        }
    )


def _draw(
    run: RunFolder,
    part: str,
    explained: Explained,
    data: TrainingData,
    *,
    table: pd.DataFrame,
    image_ids: list[str],
) -> pd.DataFrame:
    """Write the overlays of some images and return their rows, in the given order."""
    positions = {name: at for at, name in enumerate(table["image_id"])}
    for name in image_ids:
        at = positions[name]
        path = data.dataset.paths[explained.rows[at]]
        write_overlays(run.overlays / part, name, path, explained.maps[at].numpy(), explained.recipe)
    return table.iloc[[positions[name] for name in image_ids]]


def _kept_part(recipe: Recipe, data: TrainingData) -> KeptPart:
    """Return the function to the part of a photograph in the field of view, as fractions of its sides."""
    paths = dict(zip(data.image_id.tolist(), data.dataset.paths, strict=True))

    def kept(image_id: str) -> Box:
        rows, columns = find_field_of_view(read_image(paths[image_id], _FRAME_PX))
        height, width = _FRAME_PX
        return columns.start / width, rows.start / height, columns.stop / width, rows.stop / height

    return kept if recipe.field_of_view else lambda _: WHOLE
