"""Options that several verbs share, each written once."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from lesionwise.cli.console import be_quiet, give_json
from lesionwise.errors import DataError, LesionwiseError, SplitError
from lesionwise.wording import did_you_mean


def verify_data_folder(folder: Path | None) -> Path | None:
    """Return a folder that exists."""
    if folder and not folder.is_dir() and not _is_part(folder):
        raise DataError(f"{folder}: expected a data folder but found none.{_near(folder)}")
    return folder


def _is_part(folder: Path) -> bool:
    """Return whether a path stands for one part of a challenge: a folder, and how file names in it begin."""
    parent = folder.parent
    if not parent.is_dir() or not any(other.name.startswith(f"{folder.name}_") for other in parent.iterdir()):
        return False
    from lesionwise.data.layouts import is_data_folder  # pandas, for which a typo must not wait

    return is_data_folder(folder)


def with_part(folder: Path, part: str | None) -> Path:
    """Return a data folder, or the path of one of its parts."""
    if part is None:
        return folder
    from lesionwise.data.layouts.isic import part_folder

    return part_folder(folder, part)


def verify_folder(folder: Path | None) -> Path | None:
    """Return a folder that exists and need not hold data."""
    if folder and not folder.is_dir():
        raise LesionwiseError(f"{folder}: expected a folder but found none.{_near(folder)}")
    return folder


def verify_file(path: Path | None) -> Path | None:
    """Return the path of a file that exists."""
    if path and (path.is_dir() or not path.exists()):  # a pipe is a file too
        raise LesionwiseError(f"{path}: expected a file but found none.{_near(path)}")
    return path


def verify_table(path: Path | None) -> Path | None:
    """Return the path of a table, or of a data folder with one."""
    return path if path and (path.exists() or _is_part(path)) else verify_file(path)


def verify_out_folder(folder: Path | None) -> Path | None:
    """Return a folder that can be made or written to, so that this is known before the work."""
    for place in (folder, *folder.parents) if folder else ():
        if place.is_file():
            raise LesionwiseError(f"{place}: expected a folder to write to but found a file.")
    return folder


def verify_out_file(path: Path) -> Path:
    """Return a path that a file can be written to."""
    if path.is_dir():
        raise LesionwiseError(f"{path}: expected --out to name a file but it is a folder.")
    verify_out_folder(path.parent)
    return path


def verify_model(path: Path | None) -> Path | None:
    """Return the path of a bundle that exists, or the name of a model that ships."""
    from lesionwise.bundle.load import verify_bundle_path

    if path:
        verify_bundle_path(path)
    return path


def verify_models(paths: list[Path] | None) -> list[Path] | None:
    """Return the paths of several bundles, each as `verify_model` takes it."""
    for path in paths or ():
        verify_model(path)
    return paths


def _near(path: Path) -> str:
    """Return a question that names the nearest name beside a missing path."""
    beside = path.parent.iterdir() if path.parent.is_dir() else ()
    return did_you_mean(str(path), [str(other) for other in beside])


def complete_recipe(start: str) -> list[str]:
    """Return the names of the shipped recipes that begin so."""
    from lesionwise.recipe import recipe_names

    return [name for name in recipe_names() if name.startswith(start)]


def _recipe_keys(start: str) -> list[str]:
    from lesionwise.recipe import Recipe

    return [f"{key}=" for key in Recipe.model_fields if key.startswith(start)]


def complete_model(start: str) -> list[str]:
    """Return the names of the models that ship and begin so."""
    from lesionwise.bundle.load import SHIPPED

    return [name for name in SHIPPED if name.startswith(start)]


def option(name: str, what: str, **more: Any) -> Any:  # noqa: ANN401 (as typer types its options)
    """Return an option. `what`: its help; `more`: whatever else `typer.Option` takes."""
    return typer.Option(name, help=what, **more)


def argument(metavar: str, what: str, **more: Any) -> Any:  # noqa: ANN401 (the same)
    """Return an argument. `what`: its help; `more`: whatever else `typer.Argument` takes."""
    return typer.Argument(help=what, metavar=metavar, **more)


def file_option(name: str, what: str, metavar: str = "FILE") -> Any:  # noqa: ANN401 (the same)
    """Return an option that names a file which must exist."""
    return option(name, what, metavar=metavar, callback=verify_file)


def table_option(name: str, what: str) -> Any:  # noqa: ANN401 (the same)
    """Return an option that names a table, or a data folder with one, which must exist."""
    return option(name, what, metavar="FILE|DIR", callback=verify_table)


def folder_option(name: str, what: str) -> Any:  # noqa: ANN401 (the same)
    """Return an option that names a folder which must exist."""
    return option(name, what, metavar="DIR", callback=verify_data_folder)


def out_option(what: str) -> Any:  # noqa: ANN401 (the same)
    """Return an option that names a folder for results."""
    return option("--out", what, metavar="DIR", callback=verify_out_folder)


def model_option(name: str, what: str) -> Any:  # noqa: ANN401 (the same)
    """Return an option that names a bundle, or a model that ships."""
    return option(name, what, metavar="FILE", callback=verify_model, autocompletion=complete_model)


By = Literal["lesion", "image"]
Device = Literal["auto", "cpu", "cuda", "mps"]
EngineName = Literal["local", "ray"]
DataFolder = Annotated[Path, argument("DIR", "Folder of images with its table.", callback=verify_data_folder)]
RecipeArgument = Annotated[
    str, argument("RECIPE", "Name of an included recipe, or a .toml file.", autocompletion=complete_recipe)
]
RunArgument = Annotated[Path, argument("RUN", "A run folder.")]
Part = Annotated[
    str | None, option("--part", "Part of a challenge, where a folder holds several.", metavar="NAME")
]
Data = Annotated[Path, folder_option("--data", "Folder of images with its table.")]
LabelledFolder = Annotated[
    Path | None, folder_option("--data", "Folder of labelled pictures: with its table, or with --truth.")
]
TruthOfPictures = Annotated[
    Path | None,
    file_option(
        "--truth", "True diagnoses of the pictures of --data: ISIC ground truth, or image_id and dx.", "CSV"
    ),
]
LesionsOfPictures = Annotated[
    By,
    option(
        "--by",
        "With --data: unit that counts as one lesion. Use image only if no lesion is known; each "
        "picture then counts as a lesion of its own.",
    ),
]
OptionalData = Annotated[
    Path | None, folder_option("--data", "Folder of images with its table; without it, drawn phantoms.")
]
Out = Annotated[Path | None, out_option("Folder for the results.")]
SplitFile = Annotated[
    Path | None, file_option("--split", "The split.csv to use; without it, a split is made.")
]
ModelFile = Annotated[
    Path | None,
    model_option("--model", "A bundle, or the name of an included one: best (the default) or larger."),
]
BundleArgument = Annotated[
    Path | None,
    argument(
        "FILE",
        "A bundle, or the name of an included one: best (the default) or larger.",
        callback=verify_model,
        autocompletion=complete_model,
    ),
]
PrecisionOption = Annotated[
    Literal["auto", "fp32", "bf16", "int8"] | None,
    option(
        "--precision",
        "Number format to compute in; by default the one that the bundle states. auto is the fastest "
        "one that this processor has and that hardly changes an answer, as measured for the bundle.",
    ),
]
Seed = Annotated[int, option("--seed", "Seed of everything that is drawn at random.", min=0, max=2**31 - 1)]
Workers = Annotated[
    int | None,
    option("--workers", "Number of threads that prepare images; one for each core by default.", min=1),
]
Devices = Annotated[int, option("--devices", "Number of devices of each machine that share a batch.", min=1)]
Nodes = Annotated[
    int, option("--nodes", "Number of machines; start the command on each, by torchrun or Slurm.", min=1)
]
Set = Annotated[
    list[str] | None,
    option(
        "--set",
        "Recipe key and its value; may be repeated.",
        metavar="KEY=VALUE",
        autocompletion=_recipe_keys,
    ),
]
Resume = Annotated[bool, option("--resume", "Continue the run in --out where it stopped.")]
Json = Annotated[bool, option("--json", "Print the result as JSON.", callback=give_json)]
Quiet = Annotated[bool, option("--quiet", "Print results and errors only.", callback=be_quiet)]
DeviceOption = Annotated[Device, option("--device", "Device that the network runs on.")]
EngineOption = Annotated[
    EngineName,
    option("--engine", "Where the work runs: in this process, or on the machines of a Ray cluster."),
]
ByOption = Annotated[
    By,
    option(
        "--by",
        "Unit that stays on one side of the split. A split by image LEAKS: it shows what a leak is "
        "worth, and its results are stamped.",
    ),
]


def split_or_unit(split: Path | None, by: By) -> Path | By:
    """Return the split that was given, or what stays together in one that is made."""
    if split and by == "image":
        raise SplitError(f"{split}: --by image makes a split of its own. Leave one of the two out.")
    return split or by


def read_text(path: Path) -> str:
    """Return the text of a file that was named as an option."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise LesionwiseError(f"{path}: is not UTF-8 text.") from error
