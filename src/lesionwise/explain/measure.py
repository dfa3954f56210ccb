"""Testing the maps of a network on a set of images: pointing, deletion and insertion, shuffled weights."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lesionwise.arrays import Floats, Integers, Pixels
from lesionwise.data.images import centred_slices
from lesionwise.data.masks import WHOLE, Box, LesionMasks, fit_mask
from lesionwise.evaluation.scores.bootstrap import Estimate, mean_estimates
from lesionwise.evaluation.scores.subgroups import LEAST_LESIONS
from lesionwise.explain.cam import Method, choose_method, class_maps, stretch_maps
from lesionwise.explain.deletion import ORDERS, answer_curves, area_under, cell_values
from lesionwise.explain.pointing import Pointing, Shares, measure_shares, others, summarise
from lesionwise.explain.record import Explanation, Stage
from lesionwise.explain.sanity import randomised, rank_similarity
from lesionwise.labels import CODES
from lesionwise.models.network import Network
from lesionwise.progress import SILENT, Progress
from lesionwise.recipe import Recipe
from lesionwise.training.loop.hardware import keep_memory
from lesionwise.training.step.augment import evaluation_view

SAMPLE: Final = 200  # images, each of which goes through the network some 60 times; pointing takes all images
_BATCH: Final = 64
KeptPart = Callable[[str], Box]


@dataclass(frozen=True)
class Explained:
    """Some images with their maps.

    Attributes:
        pixels: RGB of all images, shape (M, H, W, 3).
        rows: The explained images, shape (N,).
        classes: The explained class of each, which is the most likely one, shape (N,).
        confidence: Its probability in the model's answer, shape (N,).
        maps: Signed, shape (N, h, w).
    """

    network: Network
    recipe: Recipe
    method: Method
    pixels: Pixels
    rows: Integers
    classes: Tensor
    confidence: Floats
    maps: Tensor

    def batches(self, positions: Integers) -> Iterator[tuple[Tensor, Tensor, Integers]]:
        """Yield views, explained classes and positions, a batch at a time."""
        for at in _chunks(positions):
            yield _views(self.pixels, self.rows[at], self.recipe), self.classes[torch.from_numpy(at)], at


def explain_images(
    network: Network,
    recipe: Recipe,
    pixels: Pixels,
    rows: Integers,
    y_prob: Floats,
    *,
    progress: Progress = SILENT,
) -> Explained:
    """Return the maps of the most likely class of some images.

    A map is for the image alone; the metadata of a model only influence the choice of the class.

    Args:
        y_prob: The model's answers, shape (N, C).
    """
    keep_memory()
    network = network.cpu().eval()
    method = choose_method(network, recipe.view_size)
    classes, maps = torch.from_numpy(y_prob.argmax(axis=1)), []
    for at in _chunks(np.arange(len(rows))):
        views = _views(pixels, rows[at], recipe)
        maps.append(class_maps(network, views, classes[torch.from_numpy(at)], method).clone())
        progress.on_work("mapping images", sum(map(len, maps)), len(rows))
    return Explained(network, recipe, method, pixels, rows, classes, y_prob.max(axis=1), torch.cat(maps))


def measure(
    explained: Explained,
    image_ids: NDArray[np.str_],
    y_true: Integers,
    groups: NDArray[np.str_],
    masks: LesionMasks | None,
    *,
    kept: KeptPart = lambda _: WHOLE,
    progress: Progress = SILENT,
) -> Explanation:
    """Return the results of the tests of the maps.

    Args:
        masks: Lesion masks; None if there are none.
        kept: Function from an image id to the part of the photograph that the recipe's field of view keeps.
    """
    shares = lesion_shares_of(explained, image_ids, masks, kept) if masks else None
    some = np.arange(0, len(explained.rows), max(1, len(explained.rows) // SAMPLE))
    curves = _curves(explained, some, progress)
    ends = {name: area_under(curve) for name, curve in curves.items()}
    gains = {
        f"{mode}-{order}": sign * (ends[f"{mode}-own"] - ends[f"{mode}-{order}"])
        for mode, sign in (("deletion", -1), ("insertion", 1))
        for order in ORDERS[1:]
    }

    def estimates(measures: dict[str, Floats]) -> dict[str, Estimate]:
        means = mean_estimates(np.column_stack(list(measures.values())), groups[some], y_true[some])
        return dict(zip(measures, means, strict=True))

    return Explanation(
        method=explained.method.value,
        images=len(explained.rows),
        lesions=len(np.unique(groups)),
        places=(explained.maps.shape[1], explained.maps.shape[2]),
        view=explained.recipe.view_size,
        pointing=summarise(shares, y_true, groups) if shares else None,
        by_diagnosis=_by_diagnosis(shares, y_true, groups) if shares else {},
        curves={name: curve.mean(axis=0).tolist() for name, curve in curves.items()},
        areas=estimates(ends),
        gains=estimates(gains),
        cascade=_cascade(explained, some, y_true[some], groups[some], progress),
        sample=len(some),
    )


def lesion_shares_of(
    explained: Explained, image_ids: NDArray[np.str_], masks: LesionMasks, kept: KeptPart = lambda _: WHOLE
) -> Shares:
    """Return how the map of each image lies on its lesion; NaN for images without a mask."""
    rows, columns = centred_slices(explained.recipe.image_size, explained.recipe.eval_zoom)
    size = rows.stop - rows.start, columns.stop - columns.start
    known = np.array([image_id in masks for image_id in image_ids.tolist()])
    found = np.full((5, len(image_ids)), np.nan)
    inside = np.flatnonzero(known)
    if len(inside) > 1:
        partner = inside[others(len(inside))]
        for at, other in zip(_chunks(inside), _chunks(partner), strict=True):
            names = image_ids[at].tolist()
            fitted = [
                fit_mask(masks.read(name), explained.recipe.image_size, part=kept(name)) for name in names
            ]
            seen = np.stack(fitted)[:, rows, columns]
            maps = (stretch_maps(explained.maps[torch.from_numpy(of)], size) for of in (at, other))
            own, exchanged = maps
            found[:, at] = list(vars(measure_shares(own, seen, exchanged)).values())
    return Shares(*found)


def _chunks(positions: Integers) -> list[Integers]:
    return np.array_split(positions, max(1, -(-len(positions) // _BATCH)))


def _by_diagnosis(shares: Shares, y_true: Integers, groups: NDArray[np.str_]) -> dict[str, Pointing]:
    found = {}
    for index, code in enumerate(CODES):
        inside = (y_true == index) & np.isfinite(shares.own) & (shares.area > 0)
        if len(np.unique(groups[inside])) >= LEAST_LESIONS:
            part = Shares(*(values[inside] for values in vars(shares).values()))
            found[code] = summarise(part, y_true[inside], groups[inside])
    return found


def _curves(explained: Explained, some: Integers, progress: Progress) -> dict[str, Floats]:
    """Return the curve of some images by mode and order, shape (len(some), K + 1)."""
    cells = cell_values(explained.maps)
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(cells.shape, generator=generator)
    partner = torch.from_numpy(others(len(cells)))
    curves: list[dict[str, Floats]] = []
    for views, classes, at in explained.batches(some):
        where = torch.from_numpy(at)
        ranked = {"own": cells[where], "random": noise[where], "other": cells[partner[where]]}
        curves.append(answer_curves(explained.network, views, classes, ranked))
        progress.on_work("painting places over", int((some <= at[-1]).sum()), len(some))
    return {name: np.concatenate([part[name] for part in curves]) for name in curves[0]}


def _cascade(
    explained: Explained, some: Integers, y_true: Integers, groups: NDArray[np.str_], progress: Progress
) -> list[Stage]:
    own = explained.maps[torch.from_numpy(some)]
    stages: list[Stage] = []
    for layers, network in randomised(explained.network):
        maps = [
            class_maps(network, views, classes, explained.method)
            for views, classes, _ in explained.batches(some)
        ]
        alike = rank_similarity(own, torch.cat(maps))
        (similarity,) = mean_estimates(alike[:, None], groups, y_true)
        stages.append({"layers": layers, "similarity": similarity})
        progress.on_work(f"shuffling weights: {layers}", len(some), len(some))
    return stages


def _views(pixels: Pixels, rows: Integers, recipe: Recipe) -> Tensor:
    return evaluation_view(torch.from_numpy(pixels[rows]), recipe)
