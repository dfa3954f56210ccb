"""Several seeds of one recipe on one split: how much of a score is chance in training.

Here: a run for each seed and the mean and spread of their scores. Not here: a run (`run`).

    seed-<n>/   a run folder for each seed      seeds.json   scores of each on val, mean and spread
"""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Final

from lesionwise.errors import RecipeError, SplitError
from lesionwise.evaluation.runs.scores import evaluate_part
from lesionwise.evaluation.scores.fold_mean import Spread, mean_over_seeds, spread_of
from lesionwise.files import sole_writer, write_json
from lesionwise.recipe import Recipe
from lesionwise.run_folder import RunFolder

RECORD: Final = "seeds.json"
TrainSeed = Callable[[int, Path, Path | None], RunFolder]


def train_seeds(
    recipe: Recipe, train_one: TrainSeed, out: Path, *, seeds: int, first: int = 0, split: Path | None = None
) -> tuple[list[RunFolder], dict[str, Spread]]:
    """Train one recipe with several seeds on the same split, and score each on val.

    Args:
        train_one: Called with seed, run folder and split; trains or continues, and returns the run.

    Raises:
        SplitError: If the recipe makes a split of its own for each seed.
        RecipeError: If it trains on val, so that nothing is left to score seeds on.
    """
    if recipe.defect_resample_before_split:
        raise SplitError(
            "defect_resample_before_split draws other copies for each seed, so the seeds share no split. "
            "Leave it out."
        )
    if recipe.train_on_val:
        raise RecipeError(
            "train_on_val leaves no images to score seeds on. Train each by itself with --seed, or set "
            "train_on_val=false."
        )
    runs: list[RunFolder] = []
    with sole_writer(out):
        for seed in range(first, first + seeds):
            runs.append(train_one(seed, out / f"seed-{seed}", split))
            split = split or runs[0].split
        found = {run.path.name: evaluate_part(run, "val") for run in runs}
        spreads = spread_of(found.values(), mean_over_seeds)
        val = {name: asdict(spread) for name, spread in spreads.items()}
        write_json(out / RECORD, {"runs": list(found), "val": val})
    return runs, spreads
