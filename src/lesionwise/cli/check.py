"""`lesionwise check`."""

from pathlib import Path
from typing import Annotated

import typer

from lesionwise.cli import given
from lesionwise.cli.console import print_columns, print_result, show_work
from lesionwise.cli.options import Part, Workers, file_option, folder_option, with_part


def check(
    test: Annotated[
        Path,
        file_option(
            "--test",
            "Ids of the test images, as text or CSV; of a table with a column split, only the test rows "
            "are used.",
            "IDS",
        ),
    ],
    train: Annotated[
        Path | None,
        file_option(
            "--train",
            "Ids of the training images; if left out, every other image of the table counts as one.",
            "IDS",
        ),
    ] = None,
    predictions: Annotated[
        Path | None, file_option("--predictions", "Predictions of the test images.", "CSV")
    ] = None,
    table: Annotated[
        Path | None,
        file_option(
            "--table", "Table of image_id, lesion_id and dx of images that are not in HAM10000.", "CSV"
        ),
    ] = None,
    data: Annotated[
        Path | None,
        folder_option(
            "--data",
            "Folder of the images. It names their lesions if --table does not, and shows identical images.",
        ),
    ] = None,
    classes: given.Classes = "",
    part: Part = None,
    workers: Workers = None,
) -> None:
    """Check any split: does a lesion of the test images appear in training too? Ends with 1 if so."""
    from lesionwise.data.known_lesions import known_lesions
    from lesionwise.diagnoses import DIAGNOSIS_COLUMNS
    from lesionwise.errors import DataError
    from lesionwise.evaluation.predictions import read_predictions
    from lesionwise.evaluation.runs.scores import verify_not_test
    from lesionwise.split.check import check_split, describe_check
    from lesionwise.split.groups import lesion_groups
    from lesionwise.split.id_lists import part_column, read_ids, read_lesion_table, with_shipped
    from lesionwise.tables import read_table

    order = classes.split(",") if classes else None
    if predictions:
        verify_not_test(predictions)
    of_table = ["image_id", "lesion_id", *DIAGNOSIS_COLUMNS]
    for file in dict.fromkeys(filter(None, (train, test, table))):
        header = read_table(file).header
        if len(header) > 1:
            used = of_table if file is table else ["image_id", *filter(None, [part_column(header)])]
            print_columns(file, used)
    if train == test and part_column(read_table(test).header) is None:
        raise DataError(
            f"{test}: was passed as --train and as --test; expected a column such as split but found none. "
            "Pass two files, or leave --train out."
        )
    pairs, known = [], read_lesion_table(table) if table else known_lesions()
    if data:
        from lesionwise.data.cache import open_cache
        from lesionwise.data.dataset import read_dataset
        from lesionwise.data.identical import COMPARE_SIZE, identical_images

        dataset = read_dataset(with_part(data, part))
        with show_work(workers=workers) as execution:
            execution.progress.on_data(dataset.about)
            cache = open_cache(dataset, COMPARE_SIZE, execution=execution)
        pairs = identical_images(dataset, cache.pixels)
        if not table:
            lesions = dataset.table[["image_id", "dx"]].assign(lesion_id=lesion_groups(dataset.table))
            known = with_shipped(lesions, data)
    result = check_split(
        read_ids(train, "train") if train else None,
        read_ids(test, "test"),
        known,
        pairs=pairs,
        predictions=read_predictions(predictions, classes=order) if predictions else None,
    )
    print_result(describe_check(result), result.to_json())
    if not result.clean:
        raise typer.Exit(1)
