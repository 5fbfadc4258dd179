"""Candidate regions of a method, and which lesions they hit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_rsna_inpaint.detection.result import Finding

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float64]

#: Regions of a baseline that are smaller in every slice are noise.
BASELINE_REGION_MM2 = 25.0
#: A lesion is hit by a candidate that shares this part of the smaller of the two.
HIT_OVERLAP = 0.1
_NEIGHBOURS = np.ones((3, 3, 3), bool)


@dataclass(frozen=True)
class Candidates:
    """Regions that a method would show.

    Attributes
    ----------
    labels
        ``(z, y, x)`` int, ``k`` where candidate ``k`` lies, counted from 1, else 0.
    scores
        ``(n,)`` higher is more suspicious.
    bright
        ``(n,)`` bool, False for what is darker than healthy: no sign of a bleed.
    """

    labels: npt.NDArray[np.integer]
    scores: FloatArray
    bright: BoolArray

    def drawn(self) -> BoolArray:
        """``(z, y, x)`` where a bright candidate lies."""
        return np.append(False, self.bright)[self.labels]

    def best_by_slice(self) -> FloatArray:
        """``(z,)`` highest score of the bright candidates in each slice, or minus infinity."""
        scores = np.append(-np.inf, np.where(self.bright, self.scores, -np.inf))
        return np.array([scores[np.unique(plane)].max() for plane in self.labels])


def from_findings(labels: npt.NDArray[np.uint16], findings: Sequence[Finding]) -> Candidates:
    """Findings of a detector as they are, ``labels`` as in `Detection`.

    Regions with higher numbers, which are no findings, are left out.
    """
    return Candidates(
        np.where(labels > len(findings), 0, labels),
        np.array([finding.score for finding in findings], np.float64),
        np.array([finding.sign == "hyper" for finding in findings], bool),
    )


def from_map(
    values: npt.NDArray[np.float32], extent: float, zero: float, pixel_mm2: float
) -> Candidates:
    """Connected regions (26 neighbours) above ``extent``, as the detector draws its own.

    Regions under 25 mm2 in every slice are left out. The score is the mean above ``zero``
    times the diameter.
    """
    labels, n = components(values > extent)
    pixels = pixels_by_slice(labels, n)
    area = pixels.max(1) * pixel_mm2
    inside = labels > 0
    total = np.bincount(labels[inside] - 1, values[inside] - zero, n)
    kept = np.flatnonzero(area >= BASELINE_REGION_MM2)
    number = np.zeros(n + 1, np.int32)
    number[kept + 1] = np.arange(1, len(kept) + 1)
    score = total[kept] / pixels[kept].sum(1) * np.sqrt(area[kept])
    return Candidates(number[labels], score, np.ones(len(kept), bool))


def components(mask: BoolArray) -> tuple[npt.NDArray[np.int32], int]:
    """Connected regions (26 neighbours) of ``(z, y, x)``, numbered from 1, and their number."""
    return ndimage.label(mask, _NEIGHBOURS)


def pixels_by_slice(labels: npt.NDArray[np.int32], n: int) -> npt.NDArray[np.int64]:
    """``(n, z)`` pixels of each region of ``(z, y, x)`` in each slice."""
    planes = len(labels)
    at = np.flatnonzero(labels)
    key = (labels.ravel()[at] - 1).astype(np.int64) * planes + at // labels[0].size
    return np.bincount(key, minlength=n * planes).reshape(n, planes)


def match(
    candidates: Candidates, lesions: npt.NDArray[np.int32], known: BoolArray, n_lesions: int
) -> tuple[FloatArray, FloatArray]:
    """Best score for every lesion, and the scores of false candidates; bright ones only.

    Further candidates on a lesion that was hit already are not false.

    Parameters
    ----------
    candidates
        Of one method.
    lesions
        ``(z, y, x)``, ``k`` in lesion ``k``, counted from 1.
    known
        ``(z,)`` slices whose truth is known; candidates elsewhere do not count.
    n_lesions
        Their number; some may lie outside of a cropped array.

    Returns
    -------
    tuple
        ``(n_lesions,)`` scores, minus infinity for a missed lesion, and ``(n_false,)``.
    """
    drawn, truth = candidates.labels[known].ravel(), lesions[known].ravel()
    n_drawn = len(candidates.scores)
    pair = drawn.astype(np.int64) * (n_lesions + 1) + truth
    shared = np.bincount(pair, minlength=(n_drawn + 1) * (n_lesions + 1))
    shared = shared.reshape(n_drawn + 1, n_lesions + 1)
    size_drawn, size_lesion = shared.sum(1)[1:], shared.sum(0)[1:]
    overlap = shared[1:, 1:]
    smaller = np.minimum(size_drawn[:, None], size_lesion[None])
    hit = (overlap > 0) & (overlap >= HIT_OVERLAP * smaller) & candidates.bright[:, None]
    scores = np.where(hit, candidates.scores[:, None], -np.inf).max(0, initial=-np.inf)
    false = candidates.bright & (size_drawn > 0) & ~hit.any(1)
    return scores, candidates.scores[false]
