"""Out of distribution: how unlike the images that a model was trained on a picture is.

Here: the scores, learnt from lesion images alone, with numpy alone. Every score is larger the more foreign.
Not here: what a network makes of a picture (`models`), and what a run keeps of that (`run_rejection`).
Letters: N pictures, C classes, K numbers of a picture, D directions, P prototypes.
"""

from dataclasses import dataclass, replace
from typing import Final, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

ACCEPT: Final = 0.99
"""Part of the lesion images in `cal` that the cut-off lets pass."""
MAX_PROTOTYPES: Final = 1_000
MAX_DIRECTIONS: Final = 64
NEIGHBOURS: Final = 5
_TAIL: Final = 0.005  # quantile that the two-sided scale calls one unit from the median
_LEAST_SCALE: Final = 1e-6
_BLOCK: Final = 512  # pictures compared with all prototypes at a time


def max_softmax_score(logits: ArrayLike) -> Floats:
    """Return one less the greatest probability, shape (N,).

    Args:
        logits: Raw outputs, shape (N, C).

    References:
        Hendrycks and Gimpel (2017), https://arxiv.org/abs/1610.02136
    """
    raw = np.asarray(logits, float)
    odds = np.exp(raw - raw.max(axis=1, keepdims=True))
    return np.asarray(1 - 1 / odds.sum(axis=1))


def energy_score(logits: ArrayLike) -> Floats:
    """Return the energy, shape (N,): small where some logit is large.

    Args:
        logits: Raw outputs, shape (N, C).

    References:
        Liu et al. (2020), https://arxiv.org/abs/2010.03759
    """
    raw = np.asarray(logits, float)
    most = raw.max(axis=1)
    return np.asarray(-most - np.log(np.exp(raw - most[:, None]).sum(axis=1)))


@dataclass(frozen=True)
class Space:
    """Coordinates in which lesion images vary by about one in every direction.

    Attributes:
        middle: What is usual for each number, shape (K,).
        below: How far it may lie below that, shape (K,).
        above: The same upwards; differs from `below` where the numbers lean to one side.
        directions: From scaled numbers to coordinates, shape (K, D).
    """

    middle: Floats
    below: Floats
    above: Floats
    directions: Floats

    def coordinates(self, numbers: ArrayLike) -> Floats:
        """Return the coordinates (N, D) of pictures with these numbers (N, K)."""
        return np.asarray(self._scaled(numbers) @ self.directions)

    def _scaled(self, numbers: ArrayLike) -> Floats:
        off = np.asarray(numbers, float) - self.middle
        return np.where(off < 0, off / self.below, off / self.above)

    @classmethod
    def fit(cls, numbers: ArrayLike, classes: ArrayLike | None = None, *, two_sided: bool = False) -> Self:
        """Learn the coordinates from lesion images: scale, reduce, make round.

        Args:
            numbers: Of training images, shape (N, K).
            classes: Diagnosis of each, shape (N,): then the spread within diagnoses is made round.
            two_sided: Scale by what is rare below and above, and not by the standard deviation: for numbers
                with one sharp end, such as sharpness, which optics bound above and focus does below.
        """
        x = np.asarray(numbers, float)
        if two_sided:
            low, middle, high = np.quantile(x, (_TAIL, 0.5, 1 - _TAIL), axis=0)
        else:
            middle, spread = x.mean(axis=0), x.std(axis=0)
            low, high = middle - spread, middle + spread
        below, above = (np.maximum(side, _LEAST_SCALE) for side in (middle - low, high - middle))
        plain = cls(middle, below, above, np.eye(x.shape[1]))
        scaled = plain.coordinates(x)
        reduced = _main_directions(scaled, MAX_DIRECTIONS)
        z = scaled @ reduced
        centred = z - (z.mean(axis=0) if classes is None else class_means(z, classes)[np.asarray(classes)])
        return cls(
            middle, below, above, reduced @ np.linalg.cholesky(np.linalg.inv(shrunk_covariance(centred)))
        )


@dataclass(frozen=True)
class Distance:
    """The distance to the nearest of some prototypes, the root of the mean of the `nearest` least squares.

    With training images as prototypes it is the k-nearest-neighbour score; with the means of the diagnoses in
    a space made round within them, and the nearest one alone, it is the Mahalanobis score.

    Attributes:
        space: In which distances are taken.
        prototypes: Coordinates, shape (P, D).
        nearest: How many count.
        typical: Median on lesion images in `cal`.
        unit: From there to what one in a hundred of them exceeds.

    References:
        Sun et al. (2022), https://arxiv.org/abs/2204.06507; Lee et al. (2018), https://arxiv.org/abs/1807.03888
    """

    space: Space
    prototypes: Floats
    nearest: int
    typical: float = 0.0
    unit: float = 1.0

    def score(self, numbers: ArrayLike) -> Floats:
        """Return how foreign pictures with these numbers (N, K) are, shape (N,); 1 is rare in lesions."""
        z = self.space.coordinates(numbers)
        far = [self._far(z[start : start + _BLOCK]) for start in range(0, len(z), _BLOCK)]
        return np.asarray((np.concatenate(far) - self.typical) / self.unit)

    def _far(self, z: Floats) -> Floats:
        square = (z**2).sum(1)[:, None] + (self.prototypes**2).sum(1) - 2 * z @ self.prototypes.T
        least = np.partition(np.maximum(square, 0), self.nearest - 1, axis=1)[:, : self.nearest]
        return np.asarray(np.sqrt(least.mean(axis=1)))

    def judged_by(self, numbers: ArrayLike) -> "Distance":
        """Return the same distance in units of lesion images that it was not fitted on.

        Args:
            numbers: Of the images in `cal`, shape (N, K).
        """
        plain = replace(self, typical=0.0, unit=1.0)
        typical, rare = np.quantile(plain.score(numbers), (0.5, ACCEPT))
        return replace(plain, typical=float(typical), unit=float(max(rare - typical, _LEAST_SCALE)))


def fit_neighbours(numbers: ArrayLike, *, two_sided: bool = False, seed: int = 0) -> Distance:
    """Return the distance to the nearest training images.

    Args:
        numbers: Of training images, shape (N, K).
        two_sided: See `Space.fit`.
        seed: Of the choice of at most `MAX_PROTOTYPES` of them.
    """
    space = Space.fit(numbers, two_sided=two_sided)
    z = space.coordinates(numbers)
    chosen = np.random.default_rng(seed).permutation(len(z))[:MAX_PROTOTYPES]
    return Distance(space, z[np.sort(chosen)], min(NEIGHBOURS, len(chosen)))


def fit_mahalanobis(numbers: ArrayLike, classes: ArrayLike, *, two_sided: bool = False) -> Distance:
    """Return the distance to the nearest mean of a diagnosis, all with one shared covariance.

    Args:
        numbers: Of training images, shape (N, K).
        classes: Diagnosis of each, shape (N,), from 0 without gaps.
        two_sided: See `Space.fit`.
    """
    space = Space.fit(numbers, classes, two_sided=two_sided)
    return Distance(space, class_means(space.coordinates(numbers), classes), 1)


@dataclass(frozen=True)
class Rejection:
    """When a picture is taken for no lesion image: the larger of two distances reaches the cut-off.

    Either may speak up alone: a picture is foreign if the network sees in it what it never saw, or if it
    looks as no lesion image does. A joint distance would let sixty usual numbers hide one that is not.

    Attributes:
        embedding: Of what the network makes of the picture.
        appearance: Of how the picture looks at large (`models.appearance`).
        cutoff: From this score on a picture is rejected.
    """

    embedding: Distance
    appearance: Distance
    cutoff: float

    def score(self, embedding: ArrayLike, appearance: ArrayLike) -> Floats:
        """Return how foreign pictures are, shape (N,).

        Args:
            embedding: Shape (N, K).
            appearance: Shape (N, K), another K.
        """
        return np.maximum(self.embedding.score(embedding), self.appearance.score(appearance))


def fit_rejection(
    embedding: ArrayLike, appearance: ArrayLike, *, cal_embedding: ArrayLike, cal_appearance: ArrayLike
) -> Rejection:
    """Learn from lesion images alone which pictures are none.

    Args:
        embedding: Of the images in `train`, shape (N, K).
        appearance: Of the same, shape (N, K), another K.
        cal_embedding: Of the images in `cal`, which set the cut-off.
        cal_appearance: Of the same.
    """
    seen = fit_neighbours(embedding).judged_by(cal_embedding)
    looks = fit_neighbours(appearance, two_sided=True).judged_by(cal_appearance)
    score = np.maximum(seen.score(cal_embedding), looks.score(cal_appearance))
    return Rejection(seen, looks, accepting_cutoff(score))


def accepting_cutoff(score: ArrayLike, accept: float = ACCEPT) -> float:
    """Return the least cut-off below which a new lesion image stays with this probability.

    Of too few images nothing can be promised; then it lies above all of them.

    Args:
        score: Of lesion images that nothing was fitted on, shape (N,).
        accept: The probability.

    References:
        Vovk, Gammerman, Shafer (2005), Algorithmic Learning in a Random World (the rank n + 1).
    """
    ordered = np.sort(np.asarray(score, float))
    rank = min(int(np.ceil((len(ordered) + 1) * accept)), len(ordered))
    return float(np.nextafter(np.float32(ordered[rank - 1]), np.float32(np.inf)))


def class_means(numbers: ArrayLike, classes: ArrayLike) -> Floats:
    """Return the mean of each class, shape (C, K); classes count from 0 without gaps."""
    x, y = np.asarray(numbers, float), np.asarray(classes)
    return np.stack([x[y == code].mean(axis=0) for code in range(y.max() + 1)])


def shrunk_covariance(centred: ArrayLike) -> Floats:
    """Return the covariance of numbers about zero, drawn towards a sphere as far as their count asks.

    Args:
        centred: Shape (N, K).

    References:
        Ledoit and Wolf (2004), https://doi.org/10.1016/S0047-259X(03)00096-4
    """
    x = np.asarray(centred, float)
    n, k = x.shape
    sample = x.T @ x / n
    mean = np.trace(sample) / k
    off = ((sample - mean * np.eye(k)) ** 2).sum()
    noise = ((x**2).T @ (x**2) / n - sample**2).sum() / n
    weight = min(noise / off, 1.0) if off else 1.0
    return np.asarray((1 - weight) * sample + weight * max(mean, _LEAST_SCALE) * np.eye(k))


def _main_directions(scaled: Floats, count: int) -> Floats:
    """Return the directions of greatest spread, half evened out already, shape (K, at most `count`)."""
    if scaled.shape[1] <= count:
        return np.eye(scaled.shape[1])
    variance, vectors = np.linalg.eigh(np.cov(scaled, rowvar=False))
    largest = slice(None, -count - 1, -1)
    return np.asarray(vectors[:, largest] / np.maximum(variance[largest], _LEAST_SCALE) ** 0.25)
