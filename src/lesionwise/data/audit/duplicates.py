"""Pairs of images that may show one lesion under two ids, and the findings on these and on identical ones.

Here: finding them. Not here: identical images (`lesionwise.data.identical`), and joining pairs; that is for a
person to confirm, and for `split --merge`.

Two photographs of a lesion differ in place, size and light. So the search has two steps. A perceptual hash,
the strength of the 136 lowest spatial frequencies, finds the nearest other image of each image; shifts and
mirrors do not change it. These pairs are then correlated pixel by pixel at every shift, on the fine structure
only: outlines of small round moles all look alike, their dots and the hairs near them do not.

Letters: H W height and width of a thumbnail (75 and 100 px).

References:
    Phase correlation: Kuglin and Hines (1975). Its softer form with the square root of the amplitude keeps
    more of the weak signal here.
"""

from collections.abc import Iterable
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from lesionwise.arrays import Booleans, Float32s, Floats, blocks
from lesionwise.data.findings import Finding
from lesionwise.wording import counted

SAME_LESION_CORRELATION: Final = 0.30
"""Chosen on HAM10000: it finds 8 of the eighteen confirmed pairs among 15 reported ones."""

NEAR_DUPLICATES: Final = "D012"
_FREQUENCIES: Final = 8
_BLOCK: Final = 256  # images at a time
_SHOWN: Final = 3
_FINE_PX: Final = 0.5
_COARSE_PX: Final = 2.0
_CONTRAST_PX: Final = 4.0
_FAINT: Final = 2.0  # grey levels: contrast below this is not amplified


class Candidate(NamedTuple):
    """Two images that may show one lesion."""

    first: int
    second: int
    correlation: float


def near_duplicates(
    grey: NDArray[np.float16], lesion: NDArray[np.intp], *, workers: int = 1
) -> list[Candidate]:
    """Return pairs of images of different lesions that look like one lesion, the likeliest first."""
    with ThreadPoolExecutor(workers) as pool:
        pairs, mirrored = _nearest(_hashes(grey, pool), lesion, pool)
        correlation = _correlate(grey, pairs, mirrored, pool)
    found = [
        Candidate(int(first), int(second), float(value))
        for (first, second), value in zip(pairs, correlation, strict=True)
        if value >= SAME_LESION_CORRELATION
    ]
    return sorted(found, key=lambda pair: -pair.correlation)


def duplicate_findings(
    identical: list[tuple[int, int]],
    candidates: list[Candidate],
    *,
    image_ids: NDArray[np.str_],
    dx: NDArray[np.str_],
    joined: Iterable[tuple[str, str]] = (),
) -> list[Finding]:
    """Return the findings on identical images and on pairs that nobody has joined yet."""
    known, same = {frozenset(pair) for pair in joined}, set(identical)
    pairs = [*identical, *(pair[:2] for pair in candidates)]
    names = {pair: (str(image_ids[pair[0]]), str(image_ids[pair[1]])) for pair in pairs}
    findings = []
    if identical:
        torn = sum(dx[first] != dx[second] for first, second in identical)
        findings.append(
            Finding(
                "D011",
                "error" if torn else "warning",
                f"{counted(len(identical), 'pair')} of images with equal pixels, {torn} with two diagnoses",
                "Keep one of each pair. Splits keep them together in any case.",
                ids=tuple(sorted({image for pair in identical for image in names[pair]})),
                details=tuple({"pair": list(names[pair])} for pair in identical),
            )
        )
    new = [pair for pair in candidates if pair[:2] not in same and frozenset(names[pair[:2]]) not in known]
    if new:
        shown = "; ".join(" and ".join(names[pair[:2]]) for pair in new[:_SHOWN])
        findings.append(
            Finding(
                NEAR_DUPLICATES,
                "warning",
                f"{counted(len(new), 'pair')} of images of different lesions look like one lesion, the first "
                f"{shown}",
                "Look at each pair. Write those that are one lesion to a CSV and pass it to "
                '"lesionwise data split --merge".',
                ids=tuple(dict.fromkeys(image for pair in new for image in names[pair[:2]])),
                details=tuple(
                    {
                        "pair": list(names[pair[:2]]),
                        "dx": [str(dx[pair.first]), str(dx[pair.second])],
                        "correlation": round(pair.correlation, 3),
                    }
                    for pair in new
                ),
            )
        )
    return findings


def _hashes(grey: NDArray[np.float16], pool: Executor) -> tuple[Float32s, Float32s]:
    """Return a unit vector for each image and for its mirror image, each of shape (N, D)."""
    height, width = grey.shape[1:]
    window = np.outer(np.hanning(height), np.hanning(width)).astype(np.float32)
    columns = np.r_[0 : _FREQUENCIES + 1, -_FREQUENCIES:0]

    def measure(rows: slice) -> Float32s:
        block = grey[rows].astype(np.float32)
        spectrum = fft.fft2((block - block.mean(axis=(1, 2), keepdims=True)) * window)
        return np.asarray(np.log1p(np.abs(spectrum[:, :_FREQUENCIES][:, :, columns])))

    strength = np.concatenate(list(pool.map(measure, blocks(len(grey), _BLOCK))))
    strength = (strength - strength.mean(axis=0)) / (strength.std(axis=0) + 1e-6)
    mirror = strength[:, :, np.r_[0, len(columns) - 1 : 0 : -1]]
    return _unit(strength), _unit(mirror)


def _unit(features: Float32s) -> Float32s:
    flat = features.reshape(len(features), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    return np.asarray(flat / (np.linalg.norm(flat, axis=1, keepdims=True) + 1e-6), dtype=np.float32)


def _nearest(
    hashes: tuple[Float32s, Float32s], lesion: NDArray[np.intp], pool: Executor
) -> tuple[NDArray[np.intp], Booleans]:
    """Return each image's nearest of another lesion, as pairs (M, 2), and whether it is mirrored."""
    straight, mirror = hashes

    def look(rows: slice) -> list[tuple[int, int, bool]]:
        likeness, mirrored = straight[rows] @ straight.T, straight[rows] @ mirror.T
        best = np.maximum(likeness, mirrored)
        best[lesion[rows, None] == lesion[None]] = -np.inf
        return [
            (rows.start + row, int(other), bool(mirrored[row, other] > likeness[row, other]))
            for row, other in enumerate(best.argmax(axis=1))
            if np.isfinite(best[row, other])
        ]

    found: dict[tuple[int, int], bool] = {}
    for part in pool.map(look, blocks(len(lesion), _BLOCK)):
        for row, other, turned in part:
            found.setdefault((min(row, other), max(row, other)), turned)
    pairs = np.array(list(found), dtype=np.intp).reshape(-1, 2)
    return pairs, np.array(list(found.values()), dtype=bool)


def _correlate(
    grey: NDArray[np.float16], pairs: NDArray[np.intp], mirrored: Booleans, pool: Executor
) -> Floats:
    """Return the highest correlation of each pair over all shifts, also turned by half, shape (M,)."""
    spectra, norms = _fine_spectra(grey, pool)
    shape, height = grey.shape[1:], grey.shape[1]
    upside_down = np.r_[0, height - 1 : 0 : -1]

    def correlate(block: slice) -> Floats:
        first, second = spectra[pairs[block, 0]], spectra[pairs[block, 1]].copy()
        turned = mirrored[block]
        second[turned] = second[turned][:, upside_down]
        peaks = [fft.irfft2(first * other, shape).max(axis=(1, 2)) for other in (np.conj(second), second)]
        scale = norms[pairs[block, 0]] * norms[pairs[block, 1]]
        return np.asarray(np.maximum(*peaks) / np.maximum(scale, 1e-9), dtype=np.float64)

    return np.concatenate([np.zeros(0), *pool.map(correlate, blocks(len(pairs), _BLOCK))])


def _fine_spectra(grey: NDArray[np.float16], pool: Executor) -> tuple[NDArray[np.complex64], Float32s]:
    """Return the softened spectrum of the fine structure of each image, and its norm."""
    height, width = grey.shape[1:]
    window = np.sqrt(np.outer(np.hanning(height), np.hanning(width))).astype(np.float32)
    spectra = np.empty((len(grey), height, width // 2 + 1), dtype=np.complex64)
    norms = np.empty(len(grey), dtype=np.float32)
    # A real image has each frequency twice, but for the first column and the last of an even width.
    times = np.full(width // 2 + 1, 2, dtype=np.float32)
    times[[0, -1] if width % 2 == 0 else [0]] = 1

    def measure(rows: slice) -> None:
        block = grey[rows].astype(np.float32)
        fine = _blur(block, _FINE_PX) - _blur(block, _COARSE_PX)
        fine /= np.sqrt(_blur(fine**2, _CONTRAST_PX)) + _FAINT
        fine = (fine - fine.mean(axis=(1, 2), keepdims=True)) * window
        spectrum = fft.rfft2(fine)
        spectrum /= np.sqrt(np.abs(spectrum)) + 1e-3
        spectra[rows] = spectrum
        power = (spectrum.real**2 + spectrum.imag**2) @ times
        norms[rows] = np.sqrt(power.sum(axis=1) / (height * width))  # Parseval

    for _ in pool.map(measure, blocks(len(grey), _BLOCK)):
        pass
    return spectra, norms


def _blur(block: Float32s, sigma_px: float) -> Float32s:
    return np.asarray(ndimage.gaussian_filter(block, (0, sigma_px, sigma_px)), dtype=np.float32)
