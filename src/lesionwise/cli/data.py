"""`lesionwise data`: download, phantom, explore, verify, audit, lesions, split."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from lesionwise.cli import options
from lesionwise.cli.console import Display, print_columns, print_note, print_result, show_work
from lesionwise.cli.gallery import OptionalGallery
from lesionwise.cli.options import argument, file_option, option, out_option
from lesionwise.errors import DataError, RecipeError, require
from lesionwise.wording import counted

DownloadedSet = Annotated[
    Literal["train", "test", "masks"],
    option("--set", "The 10,015 images, ISIC 2018's 1,512 test images, or the masks."),
]


def download(
    out: Annotated[Path, out_option("Folder to fill.")],
    source: Annotated[
        Literal["auto", "dataverse", "isic", "kaggle"],
        option("--source", "Source to download from; auto tries one after the other."),
    ] = "auto",
    wanted: DownloadedSet = "train",
) -> None:
    """Download and verify HAM10000 (2.8 GB); continue an earlier download that stopped."""
    from lesionwise.data.download import sources
    from lesionwise.data.download.obtain import download_set

    named = None if source == "auto" else sources.Source(source)
    with Display() as display:
        done = download_set(sources.Set(wanted), out, source=named, progress=display)
    for failed, reason in done.failed.items():
        print_note(f"{failed} failed: {reason}")
    if done.kept:
        print_note(
            f"{counted(len(done.kept), 'readable copy was', 'readable copies were')} there already and kept."
        )
    origin = f"from {done.source}" if done.source else "was already complete"
    value = {"folder": str(out), "source": done.source, "kept": list(done.kept), "failed": done.failed}
    print_result(f"{out}: {wanted} set {origin}. Licence: CC BY-NC 4.0.", value)


def verify(folder: options.DataFolder, wanted: DownloadedSet = "train") -> None:
    """Check that a folder holds all of HAM10000, undamaged. Ends with 1 if not."""
    from lesionwise.data.download import sources
    from lesionwise.data.download.check import check_folder

    found = check_folder(folder, sources.Set(wanted))
    print_result(_describe_check(folder, found), found.to_json())
    if not found.complete:
        raise typer.Exit(1)


def audit(
    folder: options.DataFolder,
    part: options.Part = None,
    out: Annotated[Path | None, out_option("Folder for audit.html, audit.json and pairs.csv.")] = None,
    fail_on: Annotated[
        Literal["error", "warning", "never"],
        option("--fail-on", "Least severity at which the command ends with 1."),
    ] = "error",
    gallery: OptionalGallery = None,
    workers: options.Workers = None,
) -> None:
    """Find errors, oddities and shortcuts in a data folder. Ends with 1 if there are errors."""
    folder = options.with_part(folder, part)
    from lesionwise.data.audit.run import audit_folder
    from lesionwise.split.groups import CONFIRMED_PAIRS

    with show_work(workers=workers) as execution:
        found = audit_folder(folder, joined=CONFIRMED_PAIRS, execution=execution)
    if gallery:
        from dataclasses import replace

        from lesionwise.gallery.gallery import load_gallery
        from lesionwise.gallery.labels_in_doubt import doubt_findings

        further = doubt_findings(load_gallery(gallery), found.dataset.table["image_id"])
        found = replace(found, findings=(*found.findings, *further))
    if out:
        from lesionwise.data.audit.page import write_audit

        write_audit(found, out)
        print_note(f"{out / 'audit.html'} shows the images.")
    print_result(_describe_audit(found), found.to_json())
    if found.fails(fail_on):
        raise typer.Exit(1)


def lesions(
    folder: options.DataFolder,
    part: options.Part = None,
    each_image: Annotated[
        bool, option("--each-image", "State that every image shows a lesion of its own.")
    ] = False,
) -> None:
    """Declare that no lesion was photographed twice, for a folder that does not name its lesions."""
    folder = options.with_part(folder, part)
    from lesionwise.data.layouts import read_listing, real_folder
    from lesionwise.data.layouts.listing import declare_own_lesions

    if not each_image:
        raise DataError(
            f"{folder}: only you can state which image shows which lesion. Write lesions.csv "
            "(image_id,lesion_id), or pass --each-image if no lesion was photographed twice."
        )
    listing = read_listing(folder)
    table = listing.table
    if "lesion_id" in table and table["lesion_id"].notna().all():
        raise DataError(f"{folder}: names the lesion of every image already ({listing.table_file.name}).")
    nameless = table["image_id"][table["lesion_id"].isna()] if "lesion_id" in table else table["image_id"]
    path = declare_own_lesions(real_folder(folder), nameless.dropna().unique())
    print_result(
        f"{path}: states that each of {counted(len(nameless), 'image')} shows a lesion of its own.",
        {"table": str(path), "images": len(nameless)},
    )


def merge(
    folders: Annotated[
        list[Path], argument("DIR DIR...", "Data folders, or parts as DIR/ISIC2018_Task3_Test.")
    ],
    out: Annotated[Path, out_option("Folder for merged.csv.")],
) -> None:
    """Make one data folder of several collections; an image that two of them hold counts once."""
    if len(folders) < 2:  # noqa: PLR2004 (one is merged already)
        raise DataError("Expected two data folders or more to merge.")
    for folder in folders:
        options.verify_data_folder(folder)
    from lesionwise.data.merging import merge_folders

    done = merge_folders(folders, out)
    print_note(*done.notes)
    named = ", ".join(f"{name} {count:,}" for name, count in done.images.items())
    sentences = [f"{done.path}: {named}."]
    if done.again:
        images = counted(done.again, "image was", "images were")
        sentences.append(f"{images} in an earlier collection too and left out.")
    if done.alike:
        files = counted(done.alike, "file has", "files have")
        sentences.append(f"{files} the same content as another one and counts as the same lesion.")
    facts = {name: value for name, value in vars(done).items() if name != "path"}
    print_result(" ".join(sentences), {"table": str(done.path), **facts})


def _describe_check(folder: Path, found: Any) -> str:  # noqa: ANN401 (a FolderCheck, imported late)
    verdict = "complete" if found.complete else f"NOT COMPLETE: {found.summary}"
    counts = f" {counted(found.found, 'image file')}, {found.expected:,} expected." if found.expected else ""
    lines = [f"{folder}: {verdict}.{counts}", *(f"  {note}" for note in found.notes)]
    if found.extra:
        files = counted(len(found.extra), "image file does", "image files do")
        lines.append(f"  {files} not belong to the set.")
    return "\n".join(lines)


def _describe_audit(found: Any) -> str:  # noqa: ANN401 (an Audit, imported late)
    errors = sum(finding.severity == "error" for finding in found.findings)
    data, known = found.dataset, found.known_pairs
    counts = f"{counted(found.images, 'image')} of {counted(found.lesions, 'lesion')}, layout {data.layout}"
    verdict = f"{counted(errors, 'error')}, {counted(len(found.findings) - errors, 'warning')}"
    lines = [f"{data.folder}: {counts}; {verdict}.", *map(str, found.findings), *data.notes, data.columns]
    if known.get("known"):
        pairs, candidates = counted(known["known"], "known pair"), counted(known["candidates"], "candidate")
        lines.append(
            f"The search for near-duplicates finds {known['known_found']} of {pairs}, among {candidates}."
        )
    return "\n".join(filter(None, lines))


def phantom(
    out: Annotated[Path, argument("OUT", "Folder to make.")],
    lesions: Annotated[int, option("--lesions", "Least number of lesions of each diagnosis.", min=1)] = 24,
    imbalance: Annotated[
        Literal["none", "ham"],
        option("--imbalance", "How common each diagnosis is: all alike (none), or as in HAM10000 (ham)."),
    ] = "none",
    seed: options.Seed = 0,
    workers: options.Workers = None,
) -> None:
    """Draw a data set in the layout of HAM10000, for trials."""
    from lesionwise.data.phantom import write_phantom

    with Display() as display:
        folder = write_phantom(
            out, lesions_per_class=lesions, imbalance=imbalance, seed=seed, workers=workers, progress=display
        )
    images = sum(1 for _ in folder.rglob("*.jpg"))
    print_result(f"{folder}: {counted(images, 'drawn image')}.", {"folder": str(folder), "images": images})


def split(
    folder: options.DataFolder,
    part: options.Part = None,
    out: Annotated[
        Path, option("--out", "File to write.", metavar="FILE", callback=options.verify_out_file)
    ] = Path("split.csv"),
    by: options.ByOption = "lesion",
    seed: options.Seed = 0,
    workers: options.Workers = None,
    verify: Annotated[
        Path | None, file_option("--verify", "Split to compare with the data; no new split is made.")
    ] = None,
    merge: Annotated[
        Path | None,
        file_option(
            "--merge",
            "Pairs of images that you confirmed to show one lesion; their lesions are joined.",
            "CSV",
        ),
    ] = None,
    force: Annotated[
        bool,
        option("--force", "Write over another split; let --merge join more than six images to one lesion."),
    ] = False,
) -> None:
    """Split by lesion into train, val, cal, test and five folds; or verify a split."""
    folder = options.with_part(folder, part)
    from lesionwise.files import sole_writer
    from lesionwise.split.groups import PAIR_COLUMNS, read_pairs, verify_merge
    from lesionwise.split.split_file import verify_replaceable, write_split
    from lesionwise.training.prepare import prepare

    pairs = read_pairs(merge) if merge else []
    if merge:
        print_columns(merge, PAIR_COLUMNS)
    with show_work(workers=workers) as execution:
        unit = options.split_or_unit(verify, by)
        data = prepare(folder, split=unit, seed=seed, merge=pairs, execution=execution)
    if merge:
        verify_merge(data.dataset.table, pairs, force=force, source=str(merge))
    counts = {part: int(count) for part, count in data.split.frame["part"].value_counts().items()}
    facts = {"images": counts, "groups": len(set(data.group)), "fingerprint": data.split.fingerprint}
    shown = ", ".join(f"{part} {counts[part]}" for part in ("train", "val", "cal", "test"))
    if verify:
        stamp = " LEAKY SPLIT, as the file states." if data.split.leaky else " No lesion is on two sides."
        print_result(f"{verify}: fits the data ({shown}).{stamp}", facts)
        return
    with sole_writer(out):
        if not force:
            verify_replaceable(out, data.split)
        write_split(data.split, out)
    print_result(f"{out}: {shown}; {counted(len(set(data.group)), 'lesion')}.", {"split": str(out), **facts})


def explore(
    folder: options.DataFolder,
    part: options.Part = None,
    out: Annotated[Path, out_option("Folder for explore.html and figures/.")] = Path("explore"),
    recipe: Annotated[
        str | None,
        option(
            "--recipe",
            "Recipe whose network and weights place the images on the map.",
            metavar="RECIPE",
        ),
    ] = None,
    set_: options.Set = None,
    gallery: OptionalGallery = None,
    force: Annotated[bool, option("--force", "Write over an exploration of other data.")] = False,
    workers: options.Workers = None,
) -> None:
    """Show what a data folder holds: its table, its pixels, its masks, and what stands out."""
    folder = options.with_part(folder, part)
    from lesionwise.explore import RECORD
    from lesionwise.recipe import load_recipe
    from lesionwise.run_folder import claim_own_folder

    if not force:
        claim_own_folder(out / RECORD, what="exploration")
    if set_ and not recipe:
        raise RecipeError("--set changes a key of a recipe. Pass --recipe too.")
    loaded = load_recipe(recipe, set_ or []) if recipe else None
    if loaded:
        require("torch")
    from lesionwise.explore.explore import explore_folder
    from lesionwise.explore.page import write_exploration

    with show_work(workers=workers) as execution:
        found = explore_folder(folder, recipe=loaded, execution=execution)
    if gallery:
        from dataclasses import replace

        from lesionwise.gallery.gallery import load_gallery

        found = replace(found, gallery=load_gallery(gallery))
    page = write_exploration(found, out, force=force)
    value = {
        "page": str(page),
        "images": len(found.dataset.table),
        "masks": found.masked,
        "remarks": found.remarks,
    }
    text = "\n".join(["What stands out:", *(f"  {remark}" for remark in found.remarks), "", f"Page: {page}"])
    print_result(text, value)
