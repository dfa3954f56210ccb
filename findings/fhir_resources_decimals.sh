#!/bin/sh
# fhir.resources: a decimal that is read and written again loses its zeros and its seventeenth digit.
#
# guess     Values are kept as they came, as FHIR asks: a decimal's precision has a meaning (0.10 is not 0.1), and the package has a Decimal for it.
# versions  fhir.resources 8.3.0, fhir-core 1.1.12, Python 3.11
# behaviour JSON numbers become floats before they become Decimals. A size of 0.30 cm comes back as 0.3, which is a coarser measurement;
#           0.30000 becomes 0.3, and 0.123456789012345678 becomes 0.12345678901234568. A Decimal that is set in
#           Python keeps its digits in the object and loses them when it is written. Partial dates ("1980-05") and 6.0 are kept.
# exit      0 as described; 1 if the digits are kept
set -eu
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check fhir.resources==8.3.0 fhir-core==1.1.12
cd "$folder"
"$folder/venv/bin/python" -W error - <<'PYTHON'
import re
import sys
from decimal import Decimal

from fhir.resources.observation import Observation


def written(observation: Observation) -> tuple[str, str]:
    """Return the date and the number as they stand in the JSON text."""
    text = observation.model_dump_json()
    return re.search(r'"effectiveDateTime":"([^"]*)"', text)[1], re.search(r'"value":([^,}]*)', text)[1]


found = {}
for value in ("6.0", "0.30", "0.30000", "0.123456789012345678"):
    text = (
        '{"resourceType": "Observation", "status": "final", "code": {"text": "lesion size"}, '
        f'"effectiveDateTime": "1980-05", "valueQuantity": {{"value": {value}, "unit": "cm"}}}}'
    )
    observation = Observation.model_validate_json(text)
    date, found[value] = written(observation)
    print(f"{value} -> {found[value]}; in the object {observation.valueQuantity.value!r}; date {date}")
    if date != "1980-05":
        sys.exit(1)
observation.valueQuantity.value = Decimal("0.30")
set_in_python = written(observation)[1]
print(f"Decimal('0.30') -> {set_in_python}")
expected = {"6.0": "6.0", "0.30": "0.3", "0.30000": "0.3", "0.123456789012345678": "0.12345678901234568"}
sys.exit(0 if found == expected and set_in_python == "0.3" else 1)
PYTHON
