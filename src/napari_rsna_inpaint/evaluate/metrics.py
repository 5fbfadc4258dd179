"""Scores against truth: AUROC, average precision, ceil-Dice, FROC and PRO from one sweep.

Everything is weighted, and weights may carry leading axes: a row of weights for every
bootstrap resample gives every resample's value in one call.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

#: Bins of `histogram`; the first holds everything that is not above 0.
BINS = 4096


@dataclass(frozen=True)
class Sweep:
    """What lies at or above a threshold while the threshold falls.

    Attributes
    ----------
    thresholds
        ``(k,)`` distinct scores, falling.
    true, false
        ``(..., k)`` weight of the positives and negatives at or above each threshold.
    positives, negatives
        ``(...,)`` total weights, with those that no threshold reaches. For FROC the negatives
        are scans.
    """

    thresholds: Array
    true: Array
    false: Array
    positives: Array
    negatives: Array

    @classmethod
    def of(
        cls, scores: npt.ArrayLike, positive: npt.ArrayLike, weights: npt.ArrayLike | None = None
    ) -> Sweep:
        """Sweep over scored items.

        Parameters
        ----------
        scores
            ``(n,)``; minus infinity is never reached by a threshold.
        positive
            ``(n,)`` truth.
        weights
            ``(..., n)``, 1 by default.
        """
        values = np.asarray(scores, np.float64)
        truth = np.asarray(positive, bool)
        weight = np.ones(len(values)) if weights is None else np.asarray(weights, np.float64)
        order = np.argsort(-values, kind="stable")
        order = order[np.isfinite(values[order])]
        ranked = values[order]
        # Equal scores pass a threshold together.
        last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True)[: len(ranked)])
        hit = truth[order]
        moved = weight[..., order]
        return cls(
            ranked[last],
            np.cumsum(moved * hit, -1)[..., last],
            np.cumsum(moved * ~hit, -1)[..., last],
            weight[..., truth].sum(-1),
            weight[..., ~truth].sum(-1),
        )

    @classmethod
    def of_histograms(cls, positive: npt.NDArray, negative: npt.NDArray, top: float) -> Sweep:
        """Sweep over pixels given as two `histogram` of shape ``(..., BINS)``."""
        edges = np.append(0.0, np.arange(BINS - 1) * top / (BINS - 1))
        true = np.cumsum(positive[..., ::-1], -1, dtype=np.float64)
        false = np.cumsum(negative[..., ::-1], -1, dtype=np.float64)
        return cls(edges[::-1], true, false, true[..., -1], false[..., -1])

    def auroc(self) -> Array:
        """Area under the ROC curve, ties counted half; NaN without positives or negatives."""
        false = _extend(self.false, self.negatives)
        true = _extend(self.true, self.positives)
        area = (np.diff(false) * (true[..., 1:] + true[..., :-1])).sum(-1) / 2
        return _ratio(area, self.positives * self.negatives)

    def average_precision(self) -> Array:
        """Area under the precision-recall curve by steps (AUPRC); NaN without positives."""
        gained = np.diff(self.true, prepend=0.0)
        precision = np.nan_to_num(_ratio(self.true, self.true + self.false))
        known = np.where(self.negatives + self.positives > 0, self.positives, 0)
        return _ratio((gained * precision).sum(-1), known)

    def ceil_dice(self) -> Array:
        """Dice at the single best threshold; NaN without positives."""
        dice = _ratio(2 * self.true, self.true + self.false + self.positives[..., None])
        best = np.nan_to_num(dice).max(-1, initial=0.0)
        return np.where(self.positives > 0, best, np.nan)

    def sensitivity_at(self, rate: float) -> Array:
        """Highest share of the positives with at most ``rate`` false ones per negative."""
        allowed = self._allowed(rate)
        true = np.concatenate([np.zeros((*self.true.shape[:-1], 1)), self.true], -1)
        return _ratio(np.take_along_axis(true, allowed[..., None], -1)[..., 0], self.positives)

    def threshold_at(self, rate: float) -> Array:
        """Lowest threshold with at most ``rate`` false ones per negative, or infinity."""
        return np.append(np.inf, self.thresholds)[self._allowed(rate)]

    def _allowed(self, rate: float) -> npt.NDArray[np.intp]:
        limit = rate * self.negatives * (1 + 1e-9)
        return (self.false <= limit[..., None]).sum(-1)


def froc(
    lesion_scores: npt.ArrayLike,
    false_scores: npt.ArrayLike,
    n_scans: npt.ArrayLike,
    lesion_weights: npt.ArrayLike | None = None,
    false_weights: npt.ArrayLike | None = None,
) -> Sweep:
    """Free-response ROC: lesions found against false findings per scan.

    Every candidate score is a threshold, the lowest one too: a curve that finds every lesion
    ends at 1.

    Parameters
    ----------
    lesion_scores
        ``(l,)`` best score of the candidates that hit each lesion, minus infinity if none.
    false_scores
        ``(f,)`` scores of the candidates that hit none.
    n_scans
        ``(...,)`` number of scans, those without lesion included.
    lesion_weights, false_weights
        ``(..., l)`` and ``(..., f)``, 1 by default.
    """
    lesions = np.asarray(lesion_scores, np.float64)
    false = np.asarray(false_scores, np.float64)
    found = np.ones(len(lesions)) if lesion_weights is None else np.asarray(lesion_weights)
    wrong = np.ones(len(false)) if false_weights is None else np.asarray(false_weights)
    sweep = Sweep.of(
        np.concatenate([lesions, false]),
        np.arange(len(lesions) + len(false)) < len(lesions),
        np.concatenate([found, wrong], -1),
    )
    return replace(sweep, negatives=np.asarray(n_scans, np.float64))


def pro(
    overlap: npt.NDArray, false: npt.NDArray, negatives: npt.NDArray, limit: float = 0.3
) -> Array:
    """Mean per-region overlap, averaged over false positive rates from 0 to ``limit``.

    Bergmann et al. 2019, "MVTec AD", section 4.2.

    Parameters
    ----------
    overlap
        ``(..., k)`` mean over regions of the share that lies at or above falling thresholds.
    false
        ``(..., k)`` negative pixels at or above them.
    negatives
        ``(...,)`` all negative pixels.
    """
    rate = _ratio(false, np.asarray(negatives)[..., None])
    start = np.zeros((*rate.shape[:-1], 1))
    x = np.concatenate([start, rate], -1)
    y = np.concatenate([start, overlap], -1)
    left, right = x[..., :-1], x[..., 1:]
    stop = np.minimum(right, limit)
    width = np.maximum(stop - left, 0)
    slope = np.nan_to_num(_ratio(np.diff(y), right - left))
    area = (width * (y[..., :-1] + slope * width / 2)).sum(-1)
    return np.where(np.isnan(rate[..., -1]), np.nan, area / limit)


def dice(both: npt.ArrayLike, drawn: npt.ArrayLike, truth: npt.ArrayLike) -> Array:
    """Dice of pixel counts: drawn and true, drawn, true; NaN where both are empty."""
    return _ratio(2 * np.asarray(both, np.float64), np.add(drawn, truth))


def histogram(values: npt.NDArray, top: float) -> npt.NDArray[np.int64]:
    """``(BINS,)`` counts of pixel scores.

    Bin 0 holds 0 and below, the others divide ``0`` to ``top``; the last one takes what lies
    beyond.
    """
    above = values[values > 0]
    bins = np.minimum((above * ((BINS - 1) / top)).astype(np.int64), BINS - 2) + 1
    counts = np.bincount(bins, minlength=BINS)
    counts[0] = len(values) - len(above)
    return counts


def _extend(curve: Array, end: Array) -> Array:
    start = np.zeros((*curve.shape[:-1], 1))
    return np.concatenate([start, curve, np.asarray(end)[..., None]], -1)


def _ratio(above: Any, below: Any) -> Array:
    """Quotient, NaN where the denominator is 0."""
    above, below = np.asarray(above, np.float64), np.asarray(below, np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(below > 0, above / below, np.nan)
