"""Measuring how stable the answers of a bundle, or of a run's bundle, are on `cal`.

Not here: asking the model (`lesionwise.predict.stability`) and making a run's bundle (`lesionwise.export`).
"""

from pathlib import Path
from typing import Final

import numpy as np

from lesionwise.bundle.engine import Engine
from lesionwise.data.cache import data_fingerprint
from lesionwise.data.dataset import read_dataset
from lesionwise.errors import DataError, SplitError
from lesionwise.evaluation.runs.ensemble import trained_runs
from lesionwise.evaluation.stability import Stability, write_stability
from lesionwise.files import read_json
from lesionwise.predict.stability import stability_of
from lesionwise.progress import SILENT, Progress
from lesionwise.run_folder import RunFolder
from lesionwise.split.split_file import Split, read_split
from lesionwise.wording import counted

PART: Final = "cal"


def run_stability(
    run: RunFolder, engine: Engine, *, data: Path | None = None, progress: Progress = SILENT
) -> Stability:
    """Measure the stability of a run on its `cal` images and add it to `scores.json`."""
    facts = read_json(trained_runs(run)[0].data)
    folder = data or Path(facts["folder"])
    found = _measure(engine, folder, read_split(run.split), facts.get("fingerprint"), progress)
    write_stability(run, found)
    return found


def bundle_stability(engine: Engine, data: Path, split: Path, *, progress: Progress = SILENT) -> Stability:
    """Measure the stability of a bundle on the `cal` images of the split that it was made with."""
    given, provenance = read_split(split), engine.description.provenance
    if provenance and provenance.split_fingerprint != given.fingerprint:
        raise SplitError(
            f"{split}: is split {given.fingerprint[:12]}, but {engine.bundle.path} was made with "
            f"{provenance.split_fingerprint[:12]}. Pass the split that the model was made with."
        )
    return _measure(engine, data, given, provenance.data_fingerprint if provenance else None, progress)


def _measure(
    engine: Engine, folder: Path, split: Split, fingerprint: str | None, progress: Progress
) -> Stability:
    dataset = read_dataset(folder)
    progress.on_data(dataset.about)
    lesions = split.frame.loc[split.frame["part"] == PART].set_index("image_id")["group"]
    ids = dataset.table["image_id"]
    rows = np.flatnonzero(ids.isin(lesions.index))
    if len(rows) < len(lesions) or not len(rows):
        raise DataError(
            f"{folder}: has {len(rows):,} of {counted(len(lesions), f'{PART} image')} of the split. Pass the "
            "data that the model was made with."
        )
    rule = engine.description.input
    found = data_fingerprint(dataset, rule.size, steps=rule.steps)
    if fingerprint not in {None, found}:
        raise DataError(
            f"{folder}: is not the data that the model was made with: its images or its table changed. Its "
            f"fingerprint is {found[:12]}, but the model states {fingerprint[:12]}. Pass the data as it was."
        )
    groups = lesions.loc[ids.iloc[rows]].to_numpy(str)
    return stability_of(engine, dataset, rows, groups, progress=progress)
