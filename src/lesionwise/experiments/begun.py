"""Folders of several runs that one command begins and goes on with: cross-validations, leakage measurements.

Here: how such a folder is begun, and that it is continued as it was. Not here: its runs (`held_out`).
Its record says what it holds. The record is written first, which makes the folder one of its kind, and the
split last: what lies between was not begun.
"""

from pathlib import Path
from typing import Any

from lesionwise.files import read_json, write_json, write_text
from lesionwise.recipe import Recipe
from lesionwise.run_folder import RunFolder, verify_not_reread, verify_same_start
from lesionwise.run_record import describe_environment
from lesionwise.split.split_file import Split, is_other_split, write_split
from lesionwise.training.prepare import TrainingData
from lesionwise.training.verify import is_other_recipe


def is_begun(run: RunFolder) -> bool:
    """Return whether a folder is to be continued."""
    return run.split_facts.exists()


def verify_same_settings(
    run: RunFolder, record: Path, recipe: Recipe, split: Path | None, settings: dict[str, Any]
) -> None:
    """Make sure that a folder is continued as it was begun.

    Args:
        run: The folder.
        record: Its record.
        recipe: Now.
        split: The one asked for now, if one is.
        settings: Further ones, by the name that a user knows; the record has them without dashes.

    Raises:
        RunError: If one differs.
    """
    verify_not_reread(run)
    kept = read_json(record)
    differs = {name: kept.get(name.removeprefix("--"), value) != value for name, value in settings.items()}
    verify_same_start(
        run.path,
        {
            "recipe": is_other_recipe(recipe, run.config),
            **differs,
            "--split": is_other_split(split, run.split),
        },
    )


def verify_same_data(run: RunFolder, record: Path, recipe: Recipe, data: TrainingData) -> None:
    """Make sure that the data of a folder is what it was begun with.

    Raises:
        RunError: If it is not.
    """
    changed = data.is_other_than(read_json(record), recipe.metadata)
    verify_same_start(run.path, {"content of --data": changed})


def begin(run: RunFolder, record: Path, recipe: Recipe, split: Split, facts: dict[str, Any]) -> None:
    """Begin a folder.

    Args:
        run: The folder.
        record: Its record.
        recipe: Of all runs.
        split: That all of them follow from.
        facts: For the record, among them the content of the data.
    """
    write_json(record, facts)
    write_text(run.config, recipe.to_toml())
    write_json(run.environment, describe_environment())
    write_split(split, run.split)
