"""The decision of the published system: every square by six thresholds.

A square is flagged if all six measures reach their thresholds (RSNA_Inpainting, thresholding of
the application and of the batch script). The measures are those of `square_metrics`, which leave
out neither the ends of the histogram nor dense pixels. The thresholds are in HU, as published.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_rsna_inpaint.detection.square_metrics import SquareMetric, Squares

#: Published sizes, mm: 8, 16, 32 and 64 pixels of 0.9 mm.
SIZES_MM = (7.2, 14.4, 28.8, 57.6)
#: A square counts if more than this share of it is brain, by size.
VALID_SHARE = (0.75, 0.5, 0.4, 0.3)


@dataclass(frozen=True)
class PublishedRule:
    """Thresholds by measure, each of one value a size of `SIZES_MM`; reached, a test is passed."""

    thresholds: Mapping[SquareMetric, tuple[float, float, float, float]]

    def valid(self, squares: Squares, sizes_mm: Sequence[float]) -> npt.NDArray[np.bool_]:
        """Whether squares have enough brain to be judged, ``(n,)``.

        ``sizes_mm`` are those that the squares number; the nearest published size counts.
        """
        return (
            squares["covered"]
            > np.array(VALID_SHARE, np.float32)[_published_sizes(squares, sizes_mm)]
        )

    def flagged(self, squares: Squares, sizes_mm: Sequence[float]) -> npt.NDArray[np.bool_]:
        """Whether squares are valid and pass all tests, ``(n,)``."""
        size = _published_sizes(squares, sizes_mm)
        passed = self.valid(squares, sizes_mm)
        for measure, thresholds in self.thresholds.items():
            passed &= squares[measure] >= np.array(thresholds)[size]
        return passed

    def heat(
        self, squares: Squares, sizes_mm: Sequence[float], brain: npt.NDArray[np.bool_]
    ) -> npt.NDArray[np.float32]:
        """Share of the valid squares over a pixel that are flagged, ``(y, x)`` 0 to 1.

        0 outside the brain and where no valid square lies.
        """
        valid = squares[self.valid(squares, sizes_mm)]
        flagged = squares[self.flagged(squares, sizes_mm)]
        share = _cover(flagged, brain.shape) / np.maximum(_cover(valid, brain.shape), 1)
        return np.where(brain, share, 0).astype(np.float32)


#: Of the application. Its tests of outliers and histogram pass always, by their thresholds.
APPLICATION = PublishedRule(
    {
        "std_difference": (2.0, 2.0, 1.5, -20.0),
        "earth_mover": (4.5, 4.0, 4.0, 3.0),
        "mse": (60.0, 50.0, 30.0, 30.0),
        "outliers": (0.0, 0.0, 0.0, 0.0),
        "histogram_difference": (-1.0, -1.0, -1.0, -1.0),
        "mean_difference": (-5.0, -5.0, -5.0, -5.0),
    }
)
#: Of the batch script, which counts neither outliers nor the histogram.
BATCH_SCRIPT = PublishedRule(
    {
        "std_difference": (3.0, 2.5, 2.0, 1.5),
        "earth_mover": (7.5, 8.0, 6.0, 4.0),
        "mse": (100.0, 75.0, 50.0, 50.0),
        "outliers": (0.0, 0.0, 0.0, 0.0),
        "histogram_difference": (-1.0, -1.0, -1.0, -1.0),
        "mean_difference": (3.0, 3.0, 3.0, 3.0),
    }
)
#: By the name of the decision.
RULES = {"published": APPLICATION, "published_batch": BATCH_SCRIPT}


def _published_sizes(squares: Squares, sizes_mm: Sequence[float]) -> npt.NDArray[np.intp]:
    """Index of the published size of every square, the nearest on a logarithmic scale."""
    apart = np.abs(np.log(np.array(sizes_mm))[:, None] - np.log(np.array(SIZES_MM)))
    return apart.argmin(1)[squares["scale"]]


def _cover(squares: Squares, shape: tuple[int, ...]) -> npt.NDArray[np.int64]:
    """Number of squares over every pixel, ``(y, x)``."""
    corners = np.zeros((shape[0] + 1, shape[1] + 1), np.int64)
    side = squares["side"].astype(int)
    y, x = (
        [np.clip(edge, 0, n) for edge in (squares[axis], squares[axis] + side)]
        for axis, n in zip(("y", "x"), shape, strict=True)
    )
    for row, column, sign in ((0, 0, 1), (0, 1, -1), (1, 0, -1), (1, 1, 1)):
        np.add.at(corners, (y[row], x[column]), sign)
    return corners.cumsum(0).cumsum(1)[:-1, :-1]
