"""What a fold's last weights score out of fold under other light, one view: some images of each diagnosis.

Usage: python benchmarks/search/light.py FOLD-RUN …
"""

import sys
from pathlib import Path

import numpy as np
from checkpoints import print_scores

from lesionwise.data.perturbations import perturb
from lesionwise.labels import CODES
from lesionwise.run_folder import RunFolder
from lesionwise.training.fit import predict_logits, read_network
from lesionwise.training.run import prepare_again

CHANGES = ("brightness", "contrast", "colour cast")
STRENGTH = 2
MOST = 170  # images of a diagnosis


def main(folders: list[Path]) -> None:
    for folder in folders:
        run = RunFolder(folder)
        trained, data, _ = prepare_again(run)
        recipe = trained.model_copy(update={"tta": 1})
        network, rows = read_network(run.checkpoints / "last.ckpt", recipe), data.rows("test")
        some = np.sort(np.concatenate([rows[data.y[rows] == code][:MOST] for code in range(len(CODES))]))
        known = data.metadata(recipe.metadata)
        told, every = None if known is None else known[some], np.arange(len(some))
        plain = np.stack([data.pixels[row] for row in some])
        changed = {
            name: np.stack(
                [perturb(plain[i], name, STRENGTH, image_id=str(data.image_id[some[i]])) for i in every]
            )
            for name in CHANGES
        }
        for name, pixels in {"unchanged": plain, **changed}.items():
            logits = predict_logits(network, recipe, pixels, every, metadata=told, device="cpu")
            print_scores(f"{folder}; {name}", logits, data, some)


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]])
