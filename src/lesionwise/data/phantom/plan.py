"""Which lesions a phantom data set holds, and what its table says of them.

Counts, ages, sites and ways of diagnosis follow HAM10000's own table. Missing ages and
`unknown` entries are commoner than there (2 in 100 against 6 in 1,000), so that small sets
have some too. What is not here: pictures.

References:
    Tschandl, Rosendahl, Kittler (2018), https://doi.org/10.1038/sdata.2018.161
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np

from lesionwise.data.collection import PHANTOM_PREFIX
from lesionwise.labels import CODES

Imbalance = Literal["none", "ham"]
T = TypeVar("T")

LARGEST_RATIO = 40
"""No class gets more than this many times `lesions_per_class`; HAM10000's own ratio is 74."""

_MISSING = 0.02


@dataclass(frozen=True)
class Clinic:
    """What HAM10000's table says of one diagnosis; every mapping is of shares in percent.

    Attributes:
        lesions: Number of lesions, not of images.
        photographs: Shares of lesions with one, two, three and four photographs.
        age: Mean and standard deviation, in years.
    """

    lesions: int
    photographs: tuple[float, ...]
    age: tuple[float, float]
    male: float
    dx_type: Mapping[str, float]
    localization: Mapping[str, float]


CLINICS: Mapping[str, Clinic] = {
    "akiec": Clinic(
        228, (66, 25, 8, 1), (66.5, 11.5), 68, {"histo": 100},
        {"face": 35, "lower extremity": 20, "upper extremity": 19, "back": 9, "scalp": 5, "hand": 4,
         "chest": 4, "neck": 3, "ear": 1},
    ),
    "bcc": Clinic(
        327, (53, 36, 10, 1), (66.8, 13.6), 62, {"histo": 100},
        {"back": 36, "face": 20, "lower extremity": 11, "upper extremity": 10, "chest": 9, "scalp": 4,
         "abdomen": 4, "neck": 3, "trunk": 2, "foot": 1},
    ),
    "bkl": Clinic(
        727, (60, 30, 8, 2), (64.3, 14.1), 58, {"histo": 70, "consensus": 24, "confocal": 6},
        {"face": 30, "back": 19, "lower extremity": 16, "upper extremity": 10, "chest": 7, "trunk": 7,
         "abdomen": 4, "scalp": 3, "neck": 3, "hand": 1},
    ),
    "df": Clinic(
        73, (53, 36, 11), (53.0, 13.5), 55, {"consensus": 52, "histo": 48},
        {"lower extremity": 71, "upper extremity": 21, "abdomen": 3, "back": 2, "foot": 2, "genital": 1},
    ),
    "mel": Clinic(
        614, (37, 45, 16, 2), (60.7, 15.2), 62, {"histo": 100},
        {"back": 30, "upper extremity": 19, "lower extremity": 17, "face": 9, "chest": 6, "abdomen": 6,
         "trunk": 4, "neck": 3, "foot": 3, "ear": 2, "scalp": 1},
    ),
    "nv": Clinic(
        5403, (82, 13, 4, 1), (46.5, 15.2), 51, {"follow_up": 55, "histo": 37, "consensus": 8},
        {"lower extremity": 23, "back": 22, "trunk": 19, "abdomen": 13, "upper extremity": 10, "foot": 4,
         "chest": 3, "face": 2, "neck": 1, "hand": 1, "genital": 1, "scalp": 1},
    ),
    "vasc": Clinic(
        98, (65, 26, 8, 1), (51.4, 21.6), 49, {"consensus": 53, "histo": 47},
        {"trunk": 22, "lower extremity": 19, "abdomen": 19, "back": 16, "upper extremity": 8, "face": 6,
         "chest": 4, "hand": 4, "neck": 2},
    ),
}  # fmt: skip


@dataclass(frozen=True)
class PlannedLesion:
    """One lesion to be drawn, with its row of the table.

    Args:
        number: Its number, 1 or more; with the seed it decides all of its pictures.
        age: In years, in steps of five, as HAM10000 spells it; empty if missing.
    """

    number: int
    dx: str
    image_ids: tuple[str, ...]
    dx_type: str
    age: str
    sex: str
    localization: str

    @property
    def lesion_id(self) -> str:
        """The id in the table, recognisable as a phantom's."""
        return f"PHAN_{self.number:07d}"


def count_lesions(lesions_per_class: int, imbalance: Imbalance) -> dict[str, int]:
    """Return how many lesions of each diagnosis to draw.

    Args:
        imbalance: `none`: all classes alike. `ham`: as HAM10000 has them relative to its
            rarest (df), but no class above `LARGEST_RATIO` times it.

    Examples:
        >>> count_lesions(2, "ham")
        {'akiec': 6, 'bcc': 9, 'bkl': 20, 'df': 2, 'mel': 17, 'nv': 80, 'vasc': 3}
    """
    if imbalance == "none":
        return dict.fromkeys(CODES, lesions_per_class)
    lesions = {dx: CLINICS[dx].lesions for dx in CODES}
    rarest = min(lesions.values())
    return {dx: round(lesions_per_class * min(lesions[dx] / rarest, LARGEST_RATIO)) for dx in CODES}


def plan_lesions(counts: Mapping[str, int], rng: np.random.Generator) -> list[PlannedLesion]:
    """Return all lesions in the order of their numbers.

    Diagnoses are shuffled over lesion numbers, and photographs over image ids, because an id
    (or the folder that follows from it) must not tell the diagnosis.
    """
    diagnoses = rng.permutation([dx for dx, count in counts.items() for _ in range(count)])
    photographs = [_pick(rng, dict(enumerate(CLINICS[dx].photographs, start=1))) for dx in diagnoses]
    numbers = iter((1 + rng.permutation(sum(photographs))).tolist())
    return [
        _plan_lesion(rng, number, str(dx), [f"{PHANTOM_PREFIX}{next(numbers):07d}" for _ in range(count)])
        for number, (dx, count) in enumerate(zip(diagnoses, photographs, strict=True), start=1)
    ]


def _plan_lesion(rng: np.random.Generator, number: int, dx: str, image_ids: list[str]) -> PlannedLesion:
    clinic = CLINICS[dx]
    years = 5.0 * round(float(np.clip(rng.normal(*clinic.age), 5.0, 85.0)) / 5.0)
    sex = "male" if 100.0 * rng.random() < clinic.male else "female"
    site = _pick(rng, clinic.localization)
    no_age, no_sex, no_site = rng.random(3) < _MISSING
    return PlannedLesion(
        number=number,
        dx=dx,
        image_ids=tuple(image_ids),
        dx_type=_pick(rng, clinic.dx_type),
        age="" if no_age else str(years),
        sex="unknown" if no_sex else sex,
        localization="unknown" if no_site else site,
    )


def _pick(rng: np.random.Generator, shares: Mapping[T, float]) -> T:
    weights = np.array(list(shares.values()), dtype=np.float64)
    return list(shares)[int(rng.choice(len(weights), p=weights / weights.sum()))]
