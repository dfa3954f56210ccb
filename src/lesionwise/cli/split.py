"""`lesionwise data split`."""

from pathlib import Path
from typing import Annotated

import typer

from lesionwise.cli.console import Display, print_note, print_result
from lesionwise.cli.options import ByOption, DataFolder, Json, Quiet, Seed, Workers, split_or_unit
from lesionwise.wording import counted


def split(
    folder: DataFolder,
    out: Annotated[Path, typer.Option("--out", help="File to write.", metavar="FILE")] = Path("split.csv"),
    by: ByOption = "lesion",
    seed: Seed = 0,
    workers: Workers = None,
    verify: Annotated[
        Path | None,
        typer.Option("--verify", help="Verify this split against the data instead.", metavar="FILE"),
    ] = None,
    merge: Annotated[
        Path | None,
        typer.Option(
            "--merge",
            help="Pairs of images that you confirmed to show one lesion; their lesions are joined.",
            metavar="CSV",
        ),
    ] = None,
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Write over another split; let --merge join more than six images to one lesion."
        ),
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Split by lesion into train, val, cal, test and five folds; or verify a split."""
    from lesionwise.execution import Execution
    from lesionwise.split.merge import read_pairs, verify_merge
    from lesionwise.split.split_file import verify_replaceable, write_split
    from lesionwise.training.prepare import prepare

    pairs = read_pairs(merge) if merge else []
    with Display(quiet=quiet) as display:
        execution = Execution(workers=workers, progress=display)
        unit = split_or_unit(verify, by)
        data = prepare(folder, split=unit, seed=seed, merge=pairs, execution=execution)
    for line in (*data.dataset.warnings, *data.dataset.notes):
        print_note(str(line), quiet=quiet)
    if merge:
        verify_merge(data.dataset.table, pairs, force=force, source=str(merge))
    counts = {part: int(count) for part, count in data.split.frame["part"].value_counts().items()}
    facts = {"images": counts, "groups": len(set(data.group)), "fingerprint": data.split.fingerprint}
    shown = ", ".join(f"{part} {counts[part]}" for part in ("train", "val", "cal", "test"))
    if verify:
        stamp = " LEAKY SPLIT by its own word." if data.split.leaky else " No lesion stands on two sides."
        print_result(f"{verify}: fits the data ({shown}).{stamp}", facts, as_json=json)
        return
    if not force:
        verify_replaceable(out, data.split)
    write_split(data.split, out)
    print_result(
        f"{out}: {shown}; {counted(len(set(data.group)), 'lesion')}.",
        {"split": str(out), **facts},
        as_json=json,
    )
