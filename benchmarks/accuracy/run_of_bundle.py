"""Make a run folder again from one of our bundles, to read its network otherwise and to export it once more.

    python benchmarks/accuracy/run_of_bundle.py BUNDLE DATA OUT [KEY=VALUE …]

The weights are taken out of the graph, in which batch norm is folded into the layers before it; the answers
are the same. Keys change the recipe, such as `second_look=1.2`. What `train` does after the last epoch is
done again: predictions of `cal`, calibration, and the numbers for rejection.
"""

import sys
from pathlib import Path
from typing import Final

import torch

from lesionwise.bundle.load import read_bundle
from lesionwise.execution import Execution
from lesionwise.files import read_json, write_json
from lesionwise.models.unfold import unfold
from lesionwise.recipe import load_recipe, parse_recipe
from lesionwise.run_folder import RunFolder
from lesionwise.training.fit import fresh_network, write_part_predictions
from lesionwise.training.run import _prepare_run, learn_from_cal

SPLIT: Final = Path(__file__).parents[1] / "reference_split.csv"


def main(path: str, folder: str, out: str, *changes: str) -> None:
    """Write the run."""
    bundle = read_bundle(path)
    made = bundle.description.provenance
    if made is None or len(made.recipes) != 1:
        sys.exit(f"{path}: is not a bundle of one run.")
    run = RunFolder(Path(out))
    run.checkpoints.mkdir(parents=True)
    run.config.write_text(parse_recipe(made.recipes[0], path).to_toml(), encoding="utf-8")
    recipe = load_recipe(run.config, changes)
    execution = Execution(device="cpu")
    data = _prepare_run(run, recipe, Path(folder), SPLIT, seed=made.seeds[0], execution=execution)
    command = " ".join(["python benchmarks/accuracy/run_of_bundle.py", path, folder, out, *changes])
    write_json(run.environment, {**read_json(run.environment), "command": command, "packages": made.packages})
    network = fresh_network(recipe)
    network.load_state_dict(unfold(bundle.content, network, recipe.crop_size))
    state = {f"network.{name}": value for name, value in network.state_dict().items()}
    torch.save({"state_dict": state}, run.best)
    write_part_predictions(run, recipe, data, ("cal",), device="cpu")
    learn_from_cal(run, recipe, data, device="cpu")


if __name__ == "__main__":
    main(*sys.argv[1:])
