"""Options that several verbs share, each written once."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from lesionwise.errors import LesionwiseError, SplitError

RunArgument = Annotated[Path, typer.Argument(help="A run folder.", metavar="RUN")]
Data = Annotated[Path, typer.Option("--data", help="Folder of images with its table.", metavar="DIR")]
Out = Annotated[Path | None, typer.Option("--out", help="Where the results go.", metavar="DIR")]
SplitFile = Annotated[
    Path | None, typer.Option("--split", help="A split.csv to use; without it one is made.", metavar="FILE")
]
ModelFile = Annotated[
    Path | None,
    typer.Option("--model", help="A bundle, or one that ships: best (the default), larger.", metavar="FILE"),
]
Seed = Annotated[int, typer.Option("--seed", help="Of everything random.", min=0, max=2**31 - 1)]
Workers = Annotated[
    int | None, typer.Option("--workers", help="Decoding threads; all cores by default.", min=1)
]
Devices = Annotated[
    int, typer.Option("--devices", help="Devices of each machine that share each batch.", min=1)
]
Nodes = Annotated[
    int, typer.Option("--nodes", help="Machines; start the command on each, by torchrun or Slurm.", min=1)
]
Set = Annotated[
    list[str] | None, typer.Option("--set", help="Change a recipe key; may be repeated.", metavar="KEY=VALUE")
]
Resume = Annotated[bool, typer.Option("--resume", help="Continue the run in --out where it stopped.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print results and errors only.")]


Device = Literal["auto", "cpu", "cuda", "mps"]
EngineName = Literal["local", "ray"]
By = Literal["lesion", "image"]
DeviceOption = Annotated[Device, typer.Option("--device", help="Where the network runs.")]
EngineOption = Annotated[
    EngineName, typer.Option("--engine", help="This process, or the machines of a Ray cluster.")
]
ByOption = Annotated[
    By,
    typer.Option(
        "--by", help="What stays together. By image LEAKS: it shows what a leak is worth, and is stamped."
    ),
]


def split_or_unit(split: Path | None, by: By) -> Path | By:
    """Return the split that was given, or what stays together in one that is made.

    Raises:
        SplitError: If both options ask for something.
    """
    if split and by == "image":
        raise SplitError(f"{split}: --by image makes a split of its own. Leave one of the two out.")
    return split or by


def read_text(path: Path) -> str:
    """Return the text of a file that was named as an option."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise LesionwiseError(f"{path}: is not UTF-8 text.") from error
