"""The seven diagnoses of HAM10000, in the one order used everywhere.

Here: codes, plain names, which are malignant. Not here: colours (`lesionwise.page.palette`).

References:
    Tschandl, Rosendahl, Kittler (2018), https://doi.org/10.1038/sdata.2018.161
"""

from typing import Final

CODES: Final = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
"""Diagnosis codes as HAM10000 spells them; the position is the class index."""

NAMES: Final = {
    "akiec": "actinic keratosis or intraepithelial carcinoma",
    "bcc": "basal cell carcinoma",
    "bkl": "benign keratosis",
    "df": "dermatofibroma",
    "mel": "melanoma",
    "nv": "melanocytic nevus",
    "vasc": "vascular lesion",
}

MALIGNANT: Final = ("akiec", "bcc", "mel")
"""Malignant or pre-malignant diagnoses."""

LEAKY_STAMP: Final = "LEAKY SPLIT"
"""The stamp on everything that was measured or made across a leak."""

INDEX: Final = {code: index for index, code in enumerate(CODES)}
