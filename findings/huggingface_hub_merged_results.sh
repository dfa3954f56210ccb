#!/bin/sh
# huggingface_hub: a model card files the scores of the second data set under the name of the first.
#
# guess     Each EvalResult names its data set, so the card has one entry for each data set, and reading it gives back what was written.
# versions  huggingface_hub 2.4.0, Python 3.11
# behaviour Results are grouped by task and by type, configuration, split and revision of the data set, not by its name. Two folders
#           of pictures (type "imagefolder"), HAM10000 with an accuracy of .86 and derm7pt with .61, become one entry: HAM10000 with both.
#           Read back, the score of derm7pt is one of HAM10000. No error, no warning. A different dataset_split keeps them apart.
# exit      0 as described; 1 if the names are kept
set -eu
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check huggingface_hub==2.4.0
cd "$folder"
"$folder/venv/bin/python" -W error - <<'PYTHON'
import sys

from huggingface_hub import EvalResult, ModelCard, ModelCardData


def read_back(splits: tuple[str | None, str | None]) -> list[tuple[str, float]]:
    """Write a card with the scores of two data sets, and return what the card says when it is read."""
    results = [
        EvalResult(
            task_type="image-classification", dataset_type="imagefolder", dataset_name=name, dataset_split=split,
            metric_type="accuracy", metric_value=value,
        )
        for (name, value), split in zip((("HAM10000", 0.86), ("derm7pt", 0.61)), splits, strict=True)
    ]
    data = ModelCardData(model_name="lesions", eval_results=results)
    card = ModelCard(f"---\n{data.to_yaml()}\n---\n# lesions\n")
    return [(one.dataset_name, one.metric_value) for one in card.data.eval_results]


alike, apart = read_back((None, None)), read_back(("test", "other"))
print("same type:", alike)
print("same type, other split:", apart)
merged = alike == [("HAM10000", 0.86), ("HAM10000", 0.61)]
sys.exit(0 if merged and apart == [("HAM10000", 0.86), ("derm7pt", 0.61)] else 1)
PYTHON
