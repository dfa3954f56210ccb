"""A training step of a recipe in fp32, in bf16, and either compiled, in turn on one batch that lies ready.

Usage: python benchmarks/speed/compile.py RECIPE [KEY=VALUE …]
"""

import logging
import sys

from lesionwise.recipe import load_recipe
from training import bare_images_per_second  # type: ignore[attr-defined]  # mypy finds a folder of tests

ROUNDS = 2


def main(name: str, changes: list[str]) -> None:
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    for _ in range(ROUNDS):
        for compiled in ("false", "true"):
            recipe = load_recipe(name, ["weights=none", *changes, f"compile={compiled}"])
            for bf16 in (False, True):
                pace = bare_images_per_second(recipe, bf16=bf16)
                way = f"{'bf16' if bf16 else 'fp32'}{', compiled' if recipe.compile else ''}"
                print(f"{name} {way}: {pace:.1f} images/s", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
