"""Thresholds that keep a promise: so many findings a scan, so many healthy scans flagged."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_rsna_inpaint.detection.calibration import conformal_threshold
from napari_rsna_inpaint.sweep.curve import Curve

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold and what it keeps.

    Attributes
    ----------
    name
        What is promised, for a person.
    threshold
        The lowest that keeps it, or None where there is none.
    basis
        What it was found from, or why there is none.
    """

    name: str
    threshold: float | None
    basis: str


def at_most(curves: Sequence[Curve], k: float) -> OperatingPoint:
    """At most ``k`` candidates a scan, on average, at this threshold and at every higher one."""
    name = f"at most {k:g} finding{'s' * (k != 1)} a scan"
    peaks = [one.peaks for one in curves if one.peaks is not None]
    thresholds = np.unique(np.concatenate([curves[0].thresholds, *peaks]))
    if peaks:
        ranked = np.sort(np.concatenate(peaks))
        mean = (len(ranked) - np.searchsorted(ranked, thresholds)) / len(curves)
    else:
        mean = np.mean([one.candidates for one in curves], 0)
    broken = np.flatnonzero(mean > k)
    above = thresholds[broken[-1] + 1 :] if len(broken) else thresholds
    if not len(above):
        return OperatingPoint(name, None, "even the highest threshold leaves more")
    return OperatingPoint(name, float(above[0]), _count(len(curves), "scan"))


def healthy_flagged(curves: Sequence[Curve], metric: str, rate: float) -> OperatingPoint:
    """At most this share of healthy scans has a candidate.

    It is found from the healthy scans among the curves, as a promise for further ones (split
    conformal prediction). With too few, the heatmap falls back on the slice scores of the
    healthy scans that its model was calibrated with.
    """
    name = f"at most {rate:.0%} of healthy scans flagged"
    healthy = [one for one in curves if one.ill is False]
    exceeded = conformal_threshold([_highest(one) for one in healthy], rate)
    basis = _count(len(healthy), "healthy scan")
    if exceeded == math.inf:
        needed = math.ceil(1 / rate) - 1
        return _calibrated(curves, metric, name, rate) or OperatingPoint(
            name, None, f"{basis} by the labels, {needed} are needed"
        )
    if healthy[0].peaks is not None:
        return OperatingPoint(name, float(np.nextafter(exceeded, math.inf)), basis)
    thresholds = curves[0].thresholds
    above = thresholds[thresholds > exceeded]
    if not len(above):
        return OperatingPoint(name, None, f"{basis}, flagged at every threshold")
    return OperatingPoint(name, float(above[0]), basis)


def _highest(one: Curve) -> float:
    """Highest threshold at which a scan has a candidate."""
    reached = one.thresholds[one.candidates > 0] if one.peaks is None else one.peaks
    return float(reached.max(initial=0.0))


def _calibrated(
    curves: Sequence[Curve], metric: str, name: str, rate: float
) -> OperatingPoint | None:
    scores = {tuple(one.run.get("scan", {}).get("healthy_scores", ())) for one in curves}
    known = scores.pop() if len(scores) == 1 else ()
    threshold = conformal_threshold(known, rate)
    if metric != "heatmap" or threshold == math.inf:
        return None
    return OperatingPoint(name, threshold, f"slice scores of {len(known)} healthy scans")


def detectors_own(curves: Sequence[Curve], metric: str) -> OperatingPoint:
    """The threshold by which the detector called its bright regions findings."""
    name = "the detector's own"
    heats = {one.run.get("scan", {}).get("finding_heat") for one in curves}
    if metric != "heatmap" or len(heats) > 1 or None in heats:
        return OperatingPoint(name, None, "holds for the heatmap of one model")
    return OperatingPoint(name, heats.pop(), "calibration of the model")


def _count(n: int, what: str) -> str:
    return f"{n} {what}{'s' * (n != 1)}"
