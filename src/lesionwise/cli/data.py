"""`lesionwise data`: download, verify, audit, lesions."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from lesionwise.cli.console import Display, print_note, print_result
from lesionwise.cli.options import DataFolder, Json, Quiet, Workers
from lesionwise.cli.transfer import TransferDisplay
from lesionwise.wording import counted


class Source(StrEnum):
    """Who hands the files out."""

    auto = "auto"
    dataverse = "dataverse"
    isic = "isic"
    kaggle = "kaggle"


class Set(StrEnum):
    """What is asked for."""

    train = "train"
    test = "test"
    masks = "masks"


SetOption = Annotated[
    Set, typer.Option("--set", help="The 10,015 images, ISIC 2018's 1,512 test images, or the masks.")
]


def download(
    out: Annotated[Path, typer.Option("--out", help="Folder to fill.", metavar="DIR")],
    source: Annotated[
        Source, typer.Option("--source", help="Source to download from; auto asks one after the other.")
    ] = Source.auto,
    wanted: SetOption = Set.train,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Download HAM10000 (2.8 GB), verified; go on where an earlier download stopped."""
    from lesionwise.data.download import sources
    from lesionwise.data.download.obtain import download_set

    named = None if source is Source.auto else sources.Source(source.value)
    with TransferDisplay(quiet=quiet) as display:
        done = download_set(sources.Set(wanted.value), out, source=named, progress=display)
    for failed, reason in done.failed.items():
        print_note(f"{failed} did not do: {reason}", quiet=quiet)
    if done.kept:
        print_note(
            f"{counted(len(done.kept), 'readable copy', 'readable copies')} in the folder left as found.",
            quiet=quiet,
        )
    origin = f"from {done.source}" if done.source else "was there already, whole"
    value = {"folder": str(out), "source": done.source, "kept": list(done.kept), "failed": done.failed}
    print_result(f"{out}: {wanted} set {origin}. Licence: CC BY-NC 4.0.", value, as_json=json)


def verify(folder: DataFolder, wanted: SetOption = Set.train, json: Json = False) -> None:
    """Say whether a folder holds the whole of HAM10000, unharmed. Ends with 1 if not."""
    from lesionwise.data.download import sources
    from lesionwise.data.download.verify import verify_folder

    found = verify_folder(folder, sources.Set(wanted.value))
    print_result(_describe_verification(folder, found), found.to_json(), as_json=json)
    if not found.complete:
        raise typer.Exit(1)


def audit(
    folder: DataFolder,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for audit.html, audit.json and pairs.csv.", metavar="DIR"),
    ] = None,
    fail_on: Annotated[
        Literal["error", "warning", "never"],
        typer.Option("--fail-on", help="Least severity at which the command ends with 1."),
    ] = "error",
    workers: Workers = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Look for all that is wrong, odd or tempting in a data folder. Ends with 1 if there are errors."""
    from lesionwise.data.audit.run import audit_folder
    from lesionwise.execution import Execution
    from lesionwise.split.groups import CONFIRMED_PAIRS

    with Display(quiet=quiet) as display:
        execution = Execution(workers=workers, progress=display)
        found = audit_folder(folder, joined=CONFIRMED_PAIRS, execution=execution)
    if out:
        from lesionwise.data.audit.page import write_audit

        write_audit(found, out)
        print_note(f"{out / 'audit.html'} shows the images.", quiet=quiet)
    print_result(_describe_audit(found), found.to_json(), as_json=json)
    if found.fails(fail_on):
        raise typer.Exit(1)


def lesions(
    folder: DataFolder,
    each_image: Annotated[
        bool, typer.Option("--each-image", help="State that every image shows a lesion of its own.")
    ] = False,
) -> None:
    """Declare that no lesion was photographed twice, for a folder that does not name its lesions."""
    from lesionwise.data.layouts import read_listing
    from lesionwise.data.layouts.lesions import declare_own_lesions
    from lesionwise.errors import DataError

    if not each_image:
        raise DataError(
            f"{folder}: which image shows which lesion is yours to say. Write lesions.csv "
            "(image_id,lesion_id), or pass --each-image if no lesion was photographed twice."
        )
    listing = read_listing(folder)
    table = listing.table
    if "lesion_id" in table and table["lesion_id"].notna().all():
        raise DataError(f"{folder}: names the lesion of every image already ({listing.table_file.name}).")
    nameless = table["image_id"][table["lesion_id"].isna()] if "lesion_id" in table else table["image_id"]
    path = declare_own_lesions(folder, nameless.dropna().unique())
    print_result(f"{path}: {counted(len(nameless), 'image')}, each a lesion of its own, by your word.")


def _describe_verification(folder: Path, found: Any) -> str:  # noqa: ANN401 (a Verification, imported late)
    verdict = "complete" if found.complete else f"NOT COMPLETE: {found.summary}"
    counts = f" {found.found:,} image files, {found.expected:,} expected." if found.expected else ""
    extra = f"{len(found.extra):,} image files do not belong to the set." if found.extra else ""
    return "\n".join(
        [f"{folder}: {verdict}.{counts}", *(f"  {line}" for line in (*found.notes, extra) if line)]
    )


def _describe_audit(found: Any) -> str:  # noqa: ANN401 (an Audit, imported late)
    errors = sum(finding.severity == "error" for finding in found.findings)
    counts = f"{counted(found.images, 'image')} of {counted(found.lesions, 'lesion')}, layout {found.layout}"
    known = found.known_pairs
    search = (
        f"The search for near-duplicates finds {known['known_found']} of {known['known']} pairs that are "
        f"known, among {known['candidates']} candidates."
        if known.get("known")
        else ""
    )
    verdict = f"{counted(errors, 'error')}, {counted(len(found.findings) - errors, 'warning')}"
    lines = [f"{found.folder}: {counts}; {verdict}.", *map(str, found.findings), *found.notes, search]
    return "\n".join(line for line in lines if line)
