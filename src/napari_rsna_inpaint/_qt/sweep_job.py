"""What the threshold sweep computes in the background."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_rsna_inpaint._qt.worker import Job, Report
from napari_rsna_inpaint.sweep.curve import curve
from napari_rsna_inpaint.sweep.regions import Levels
from napari_rsna_inpaint.sweep.run import Sweep, summarise, thresholds_of
from napari_rsna_inpaint.sweep.settings import SweepSettings
from napari_rsna_inpaint.sweep.subject import Subject


@dataclass(frozen=True, eq=False)
class Cut:
    """A whole scan cut at one threshold.

    Attributes
    ----------
    labels
        ``(z, y, x)`` number of the candidate, cropped as in `Levels`.
    candidates, squares, slices
        How many there are; ``squares`` is None for a map.
    """

    labels: npt.NDArray[np.int32]
    candidates: int
    squares: int | None
    slices: int


def curve_job(subject: Subject, settings: SweepSettings, levels: Levels | None = None) -> Job:
    """Reports `Levels` as soon as they can be cut, and gives the `Sweep`.

    ``levels`` are those of an earlier sweep of the same subject and metric.
    """

    def compute(report: Report, cancelled: Callable[[], bool]) -> Sweep:
        cut = levels or Levels(subject, settings.metric, settings.size_mm)
        report(cut)
        thresholds = thresholds_of(subject, settings)
        found = curve(cut, thresholds, settings.min_area_mm2, cancelled=cancelled)
        return summarise([found], settings)

    return Job("threshold sweep", compute)


def cut_job(levels: Levels, threshold: float, min_area_mm2: float) -> Job:
    """Gives the `Cut` of a whole scan."""

    def compute(_report: Report, _cancelled: Callable[[], bool]) -> Cut:
        kept = levels.candidates(threshold, min_area_mm2)
        touched = levels.regions(threshold).touched[kept].any(0)
        return Cut(
            levels.labels(threshold, min_area_mm2),
            int(kept.sum()),
            levels.flagged_squares(threshold),
            int(touched.sum()),
        )

    return Job("threshold sweep", compute)
