"""What a threshold can be put on: maps of a result, and measures of its squares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from napari_rsna_inpaint.detection.findings import EXTENT

#: Squares of which less than this was hidden are too few pixels to measure.
MIN_COVERED = 0.4


@dataclass(frozen=True)
class Metric:
    """One quantity that is higher where a scan departs more.

    Attributes
    ----------
    name, title, unit
        As in files, as shown, and of its thresholds; the unit may be empty.
    kind
        ``"map"``: one value a pixel; ``"square"``: one a square of the grid. A pixel then has
        the highest value of the squares of one size that cover it.
    low, high, step
        Thresholds that are swept.
    extent
        A region extends as far as the values stay above this, and is kept if its highest value
        reaches the threshold; None: it extends as far as the threshold is reached.
    """

    name: str
    title: str
    unit: str
    kind: Literal["map", "square"]
    low: float
    high: float
    step: float
    extent: float | None = None

    @property
    def label(self) -> str:
        """Title with the unit, for an axis."""
        return f"{self.title} ({self.unit})" if self.unit else self.title

    @property
    def thresholds(self) -> npt.NDArray[np.float64]:
        """Those from ``low`` to ``high``, increasing."""
        n = round((self.high - self.low) / self.step)
        return np.round(self.low + self.step * np.arange(n + 1), 6)


METRICS = {
    metric.name: metric
    for metric in (
        Metric("heatmap", "Heatmap", "", "map", EXTENT, 1.0, 0.02, EXTENT),
        Metric("signed_residual", "Signed residual", "HU", "map", 2.0, 40.0, 1.0),
        Metric("absolute_residual", "Absolute residual", "HU", "map", 2.0, 40.0, 1.0),
        Metric("minimum_distance", "Minimum completion distance", "HU", "map", 2.0, 40.0, 1.0),
        Metric("mean_difference", "Mean difference", "HU", "square", 0.5, 25.0, 0.5),
        Metric("earth_mover", "Earth mover's distance", "HU", "square", 1.0, 30.0, 0.5),
        Metric("std_difference", "Standard deviation difference", "HU", "square", 0.5, 25.0, 0.5),
        Metric("mse", "Mean squared difference", "HU²", "square", 20.0, 1600.0, 20.0),
        Metric("histogram_difference", "Histogram difference", "", "square", 0.02, 0.8, 0.02),
    )
}
