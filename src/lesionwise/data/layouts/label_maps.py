"""What other collections call the seven diagnoses, and what of theirs has no counterpart.

Here: one map for each collection, from its name to a code or to None. A name that is in no map is not
guessed: it stays as it is and becomes a finding. Not here: reading the collections.

None means that the diagnosis is none of the seven as HAM10000 defines them (Tschandl et al. 2018, table 1):
`akiec` is actinic keratosis and intraepithelial carcinoma (Bowen's disease) but not invasive squamous cell
carcinoma; `bkl` is seborrheic keratosis, solar lentigo and lichen-planus-like keratosis; `mel` is primary
melanoma of the skin.
"""

from typing import Final

LabelMap = dict[str, str | None]

ISIC_CHALLENGE: Final[LabelMap] = {
    "MEL": "mel",
    "NV": "nv",
    "BCC": "bcc",
    "AKIEC": "akiec",  # 2018
    "AK": "akiec",  # 2019
    "BKL": "bkl",
    "DF": "df",
    "VASC": "vasc",
    "SCC": None,  # 2019: invasive as well as in situ, not told apart
    "UNK": None,  # 2019: none of the others
}

PH2: Final[LabelMap] = {
    "0": "nv",  # common nevus
    "1": "nv",  # atypical nevus
    "2": "mel",
}

DERM7PT: Final[LabelMap] = {
    "basal cell carcinoma": "bcc",
    "blue nevus": "nv",
    "clark nevus": "nv",
    "combined nevus": "nv",
    "congenital nevus": "nv",
    "dermal nevus": "nv",
    "recurrent nevus": "nv",
    "reed or spitz nevus": "nv",
    "dermatofibroma": "df",
    "seborrheic keratosis": "bkl",
    "vascular lesion": "vasc",
    "melanoma": "mel",
    "melanoma (in situ)": "mel",
    "melanoma (less than 0.76 mm)": "mel",
    "melanoma (0.76 to 1.5 mm)": "mel",
    "melanoma (more than 1.5 mm)": "mel",
    "melanoma metastasis": None,  # no primary tumour
    "lentigo": None,  # whether solar (bkl) or simple is not said
    "melanosis": None,
    "miscellaneous": None,
}

PAD_UFES_20: Final[LabelMap] = {
    "ACK": "akiec",
    "BCC": "bcc",
    "MEL": "mel",
    "NEV": "nv",
    "SEK": "bkl",
    "SCC": None,  # invasive carcinoma and Bowen's disease in one class
}

COLLECTIONS: Final = {
    "ISIC 2018 and 2019": ISIC_CHALLENGE,
    "PH2": PH2,
    "derm7pt": DERM7PT,
    "PAD-UFES-20": PAD_UFES_20,
}
