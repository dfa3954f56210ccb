"""What several magnifications of one image are worth: a fold's last weights, out of fold, with metadata.

Usage: python benchmarks/search/zooms.py FOLD-RUN …
"""

import sys
from itertools import accumulate
from pathlib import Path

from checkpoints import print_scores

from lesionwise.run_folder import RunFolder
from lesionwise.training.fit import predict_logits, read_network
from lesionwise.training.run import prepare_again

ZOOMS = (1.3, 1.0, 1.6, 1.15, 1.45)


def main(folders: list[Path]) -> None:
    for folder in folders:
        run = RunFolder(folder)
        recipe, data, _ = prepare_again(run)
        rows, known = data.rows("test"), data.metadata(recipe.metadata)
        network = read_network(run.checkpoints / "last.ckpt", recipe)
        logits = [
            predict_logits(
                network,
                recipe.model_copy(update={"eval_zoom": zoom}),
                data.pixels,
                rows,
                metadata=known,
                device="cpu",
            )
            for zoom in ZOOMS
        ]
        sums = accumulate(logits)
        ways = {
            **{f"zoom {zoom}": found for zoom, found in zip(ZOOMS, logits, strict=True)},
            **{f"mean of the first {n}": found / n for n, found in enumerate(sums, start=1) if n > 1},
        }
        for way, found in ways.items():
            print_scores(f"{folder.name}; {way}", found, data, rows)


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]])
