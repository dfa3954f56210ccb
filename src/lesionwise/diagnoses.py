"""The names of the seven diagnoses in tables, and names that have no counterpart.

A name that stands in no map is not guessed: it stays as it is and becomes a finding. Not here: reading
tables (`tables`).

None means that the diagnosis is none of the seven as HAM10000 defines them (Tschandl et al. 2018, table 1):
`akiec` is actinic keratosis and intraepithelial carcinoma (Bowen's disease) but not invasive squamous cell
carcinoma; `bkl` is seborrheic keratosis, solar lentigo and lichen-planus-like keratosis; `mel` is primary
melanoma of the skin.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from lesionwise.labels import CODES, NAMES

if TYPE_CHECKING:
    import pandas as pd

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
    "SCC": None,  # 2019: invasive as well as in situ, not distinguished
    "UNK": None,  # 2019: none of the others
}

MILK10K: Final[LabelMap] = {
    **{name: name.lower() for name in ("AKIEC", "BCC", "BKL", "DF", "MEL", "NV", "VASC")},
    "SCCKA": None,  # invasive squamous cell carcinoma and keratoacanthoma
    "INF": None,  # inflammatory and infectious diseases
    "BEN_OTH": None,
    "MAL_OTH": None,
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
    "lentigo": None,  # whether solar (bkl) or simple is not stated
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

DERM12345: Final[LabelMap] = {
    **dict.fromkeys(("acb", "ccb", "mcb", "cb", "bdb", "db", "ajb", "cjb", "jb"), "nv"),  # banal nevi
    **dict.fromkeys(("acd", "ccd", "cd", "ajd", "srjd", "jd", "rd"), "nv"),  # dysplastic nevi
    **dict.fromkeys(("mel", "anm", "alm", "lm", "lmm"), "mel"),
    **dict.fromkeys(("sk", "sl", "lk"), "bkl"),
    **dict.fromkeys(("ha", "la", "pg", "angk", "sa"), "vasc"),
    "bcc": "bcc",
    "df": "df",
    **dict.fromkeys(("ak", "bd"), "akiec"),
    **dict.fromkeys(("isl", "ls"), None),  # ink-spot lentigo and lentigo simplex
    **dict.fromkeys(("scc", "ch", "mpd", "dfsp", "ks"), None),
}

ISIC_ARCHIVE: Final[LabelMap] = {
    "basal cell carcinoma": "bcc",
    "melanoma": "mel",
    "melanoma, nos": "mel",
    "melanoma invasive": "mel",
    "melanoma in situ": "mel",
    "melanoma metastasis": None,  # no primary tumour
    "squamous cell carcinoma in situ": "akiec",
    "squamous cell carcinoma in situ, bowens disease": "akiec",
    "solar or actinic keratosis": "akiec",
    "actinic keratosis": "akiec",
    "squamous cell carcinoma": None,
    "squamous cell carcinoma, invasive": None,
    "squamous cell carcinoma, nos": None,  # invasive as well as in situ, not distinguished
    "keratoacanthoma": None,
    "nevus": "nv",
    "pigmented benign keratosis": "bkl",
    "seborrheic keratosis": "bkl",
    "lichen planus like keratosis": "bkl",
    "lichenoid keratosis": "bkl",
    "solar lentigo": "bkl",
    "clear cell acanthoma": None,  # MILK10k counts it as BKL; HAM10000 does not hold it
    "ink-spot lentigo": None,  # the same
    "dermatofibroma": "df",
    "angioma": "vasc",
    "hemangioma": "vasc",
    "hemangioma, hobnail": "vasc",
    "angiokeratoma": "vasc",
    "pyogenic granuloma": "vasc",
    "vascular lesion": "vasc",
    "benign soft tissue proliferations - vascular": "vasc",  # a second level whose third is empty
}
"""By `diagnosis_3`, or by `diagnosis` of tables from before 2024, in lower case. The archive has hundreds of
names. One that does not stand here has no counterpart, and is named as such; but an unknown name of a
melanoma is an error, because a table whose melanomas are missing is worse than one that is refused."""

FULL_NAMES: Final[dict[str, str]] = {
    **{code: code for code in CODES},
    **{name: code for code, name in NAMES.items()},
    "actinic keratoses": "akiec",
    "actinic keratosis": "akiec",
    "actinic keratoses and intraepithelial carcinoma": "akiec",
    "basal cell carcinoma": "bcc",
    **dict.fromkeys(("benign keratosis-like lesion", "benign keratosis-like lesions"), "bkl"),
    **dict.fromkeys(("melanocytic nevi", "nevus", "nevi"), "nv"),
    "vascular lesions": "vasc",
}
"""Full names of the seven in notebooks and copies of HAM10000, in lower case, with spaces between words."""

DIAGNOSIS_COLUMNS: Final = (
    *("dx", "diagnosis", "diagnosis_1", "diagnosis_2", "diagnosis_3"),
    *ISIC_CHALLENGE,
    *("SCCKA", "INF", "BEN_OTH", "MAL_OTH"),
)
"""Columns in which a diagnosis may stand."""
_PREFIXES: Final = ("prob_", "p_", "probability_")
_ONE_HOT: Final[LabelMap] = ISIC_CHALLENGE | MILK10K
_LEVELS: Final = (
    "diagnosis_1",
    "diagnosis_2",
    "diagnosis_3",
)  # a fourth and a fifth only tell kinds of one apart
_DERMATOSCOPIC: Final = ("dermoscopic", "dermatoscopic", "")
_NO_DIAGNOSIS: Final = "no diagnosis"


def code_of(name: object) -> str | None:
    """Return the code that a label or a column stands for, None if it is none of the seven.

    Example:
        >>> code_of("MEL"), code_of("prob_nv"), code_of("melanocytic_Nevi"), code_of("score")
        ('mel', 'nv', 'nv', None)
    """
    text = str(name).strip().lower()
    for prefix in _PREFIXES:
        text = text.removeprefix(prefix)
    return FULL_NAMES.get(text.replace("_", " "))


def add_diagnoses(table: "pd.DataFrame") -> "pd.DataFrame":
    """Return a table with the diagnosis of each row, from whichever columns hold it.

    Args:
        table: Text columns by our names, an empty cell being "". The diagnosis may stand in `dx`, one column
            for each diagnosis, `diagnosis_1` to `diagnosis_5` or `diagnosis`.

    Returns:
        The table with `dx`: a code, "" where none is given, or a word that no map knows; and with `foreign`:
        why a row is left out, which is the name of a diagnosis without a counterpart, or the kind of an image
        that is not dermatoscopic, else "". As it was if no column holds a diagnosis.
    """
    found = table if {"dx", "foreign"} <= set(table) else _with_diagnoses(table)
    if "foreign" in found and "image_type" in found:
        dermatoscopic = found["image_type"].str.lower().isin(_DERMATOSCOPIC)
        return found.assign(foreign=found["foreign"].where(dermatoscopic, found["image_type"]))
    return found


def _with_diagnoses(table: "pd.DataFrame") -> "pd.DataFrame":
    hot = hot_columns(table.columns)
    if "dx" in table:
        words = table["dx"].str.strip()
        return table.assign(dx=words.map(lambda word: code_of(word) or word.lower()), foreign="")
    if hot:
        return with_map(table, _from_one_hot(table, hot), _ONE_HOT)
    if _LEVELS[0] in table:
        levels = zip(*(table[name] for name in _LEVELS if name in table), strict=True)
        return with_map(table, map(_archive_name, levels), ISIC_ARCHIVE)
    if "diagnosis" in table:
        words = table["diagnosis"].str.strip()
        if set(words) <= {*ISIC_CHALLENGE, ""}:
            return with_map(table, words.replace("", _NO_DIAGNOSIS), ISIC_CHALLENGE | {_NO_DIAGNOSIS: None})
        words = words.str.lower()
        ours = set(words) <= {*CODES, ""}
        return table.assign(dx=words, foreign="") if ours else with_map(table, words, ISIC_ARCHIVE)
    return table


def with_map(table: "pd.DataFrame", names: Iterable[str], labels: LabelMap) -> "pd.DataFrame":
    """Return a table with `dx` and `foreign` by what a collection calls its diagnoses; "" if nothing."""
    rows = [_by_map(name, labels) for name in names]
    return table.assign(dx=[dx for dx, _ in rows], foreign=[foreign for _, foreign in rows])


def _by_map(name: str, labels: LabelMap) -> tuple[str, str]:
    """Return the diagnosis of a row, and why it is left out; one of the two is ""."""
    if name in labels:
        code = labels[name]
        return (code, "") if code else ("", name)
    if labels is ISIC_ARCHIVE and "melanoma" not in name:
        return "", name or _NO_DIAGNOSIS
    return name, ""


def hot_columns(columns: "pd.Index[str]") -> list[str]:
    """Return the columns of a challenge that hold one diagnosis each; none if melanoma or nevus lacks one."""
    found = [name for name in columns if name in _ONE_HOT]
    return found if {"MEL", "NV"} <= set(found) else []


def malignancy_of(table: "pd.DataFrame") -> "pd.Series | None":
    """Return whether each row is malignant ("malignant", "benign" or "" where that is not known).

    None if no column says so: `benign_malignant`, `target` (ISIC 2020, 2024) or `diagnosis_1` (the archive).
    """
    words = {"malignant": "malignant", "benign": "benign", "1": "malignant", "0": "benign"}
    column = next((name for name in ("benign_malignant", "target", _LEVELS[0]) if name in table), None)
    if column is None:
        return None
    return table[column].map(lambda cell: words.get(str(cell).strip().lower().removesuffix(".0"), ""))


def _from_one_hot(table: "pd.DataFrame", columns: list[str]) -> "pd.Series":
    """Return the name of the one column that is 1, "" where it is not one or a cell is no number."""
    import pandas as pd  # noqa: PLC0415 (which `predict` lacks)

    hot: pd.DataFrame = table[columns].apply(pd.to_numeric, errors="coerce")
    certain = hot.isin((0, 1)).all(axis=1) & (hot.sum(axis=1) == 1)
    return (hot == 1).idxmax(axis=1).astype(str).where(certain, "")


def _archive_name(levels: tuple[str, ...]) -> str:
    """Return the name by which the map of the archive knows a row: the deepest of its three levels.

    Every kind of melanocytic nevus is a nevus. An unknown name of a melanoma has its level before it.
    """
    given = [level.strip().lower() for level in levels if level.strip()]
    name, group = ([*given[::-1], "", ""])[:2]
    if len(given) == len(_LEVELS) and "nevus" in name and "melanocytic" in group:
        return "nevus"
    return f"{group}: {name}" if name not in ISIC_ARCHIVE and "melanoma" in group else name
