"""A sweep over scans: curves, table and operating points."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_rsna_inpaint.errors import InputRefused
from napari_rsna_inpaint.sweep.curve import Curve, curve
from napari_rsna_inpaint.sweep.metrics import METRICS
from napari_rsna_inpaint.sweep.operating import (
    OperatingPoint,
    at_most,
    detectors_own,
    healthy_flagged,
)
from napari_rsna_inpaint.sweep.regions import Levels
from napari_rsna_inpaint.sweep.settings import SweepSettings
from napari_rsna_inpaint.sweep.subject import Subject
from napari_rsna_inpaint.sweep.table import Row, table

#: Findings a scan, and share of healthy scans, for which thresholds are offered.
FINDINGS = (1, 3, 5)
HEALTHY_RATE = 0.1


@dataclass(frozen=True, eq=False)
class Sweep:
    """Result of a sweep.

    Attributes
    ----------
    settings
        What it was made with.
    curves
        One a scan.
    rows
        One a threshold, with the keys of `table.COLUMNS`.
    points
        Thresholds that keep a promise.
    """

    settings: SweepSettings
    curves: list[Curve]
    rows: list[Row]
    points: list[OperatingPoint]

    def column(self, name: str) -> npt.NDArray[np.float64]:
        """A column of the table, NaN where nothing is known."""
        return np.array([row[name] for row in self.rows], np.float64)


def sweep(
    subjects: Iterable[Subject],
    settings: SweepSettings,
    *,
    cancelled: Callable[[], bool] | None = None,
) -> Sweep:
    """Sweep the threshold of one metric over results.

    Parameters
    ----------
    subjects
        Taken one after the other, so that they need not be in memory together.

    Raises
    ------
    InputRefused
        If there is no result, or a square size was not measured.
    Cancelled
        When ``cancelled()`` returned True.
    """
    curves: list[Curve] = []
    for subject in subjects:
        levels = Levels(subject, settings.metric, settings.size_mm)
        thresholds = curves[0].thresholds if curves else thresholds_of(subject, settings)
        curves.append(curve(levels, thresholds, settings.min_area_mm2, cancelled=cancelled))
    if not curves:
        raise InputRefused("There is no result to sweep over; name folders that detect wrote.")
    return summarise(curves, settings)


def thresholds_of(subject: Subject, settings: SweepSettings) -> npt.NDArray[np.float64]:
    """Usual thresholds of the metric, the chosen one, and for the heatmap the detector's own."""
    more = [] if settings.threshold is None else [settings.threshold]
    own = subject.detection.run.get("scan", {}).get("finding_heat")
    if settings.metric == "heatmap" and own is not None:
        more.append(own)
    return np.unique([*METRICS[settings.metric].thresholds, *more])


def summarise(curves: list[Curve], settings: SweepSettings) -> Sweep:
    """Table and operating points of curves with the same thresholds."""
    points = [
        detectors_own(curves, settings.metric),
        *(at_most(curves, k) for k in FINDINGS),
        healthy_flagged(curves, settings.metric, HEALTHY_RATE),
    ]
    return Sweep(settings, curves, table(curves), points)
