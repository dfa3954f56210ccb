#!/bin/sh
# mlcroissant: a column of text becomes numbers or nothing before it becomes text.
#
# guess     A field with the data type sc:Text gives the text that stands in the file.
# versions  mlcroissant 1.1.1, pandas 3.1.1, numpy 2.4.6, Python 3.11
# behaviour The file is read by pandas, without the types of its description. The lesion "0007" becomes b"7", the code "1e5" becomes b"100000.0", and
#           the site "NA" becomes None. Lesion ids with leading zeros no longer match those of another table. No error, no warning.
# exit      0 as described; 1 if the text is kept
set -eu
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check mlcroissant==1.1.1 pandas==3.1.1 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import datetime
import hashlib
import json
import sys
from pathlib import Path

import mlcroissant as mlc

TEXT = "lesion,code,site\n0007,1e5,NA\n0012,2e5,back\n"
COLUMNS = TEXT.splitlines()[0].split(",")
Path("lesions.csv").write_text(TEXT)
description = mlc.Metadata(
    name="lesions",
    url="https://example.org",
    license="https://creativecommons.org/licenses/by/4.0/",
    version="1.0.0",
    date_published=datetime.datetime(2026, 1, 1),
    cite_as="A table of lesions",
    distribution=[
        mlc.FileObject(
            id="lesions.csv", name="lesions.csv", content_url="lesions.csv", encoding_formats=["text/csv"],
            sha256=hashlib.sha256(TEXT.encode()).hexdigest(),
        )
    ],
    record_sets=[
        mlc.RecordSet(
            id="lesions",
            name="lesions",
            fields=[
                mlc.Field(
                    id=f"lesions/{name}", name=name, data_types=mlc.DataType.TEXT,
                    source=mlc.Source(file_object="lesions.csv", extract=mlc.Extract(column=name)),
                )
                for name in COLUMNS
            ],
        )
    ],
)
Path("croissant.json").write_text(json.dumps(description.to_json(), default=str))
rows = [[row[f"lesions/{name}"] for name in COLUMNS] for row in mlc.Dataset("croissant.json").records("lesions")]
print("in the file:", [line.split(",") for line in TEXT.splitlines()[1:]])
print("as text:    ", rows)
sys.exit(0 if rows == [[b"7", b"100000.0", None], [b"12", b"200000.0", b"back"]] else 1)
PYTHON
