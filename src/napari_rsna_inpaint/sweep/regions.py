"""What is left of a map at each threshold."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from napari_rsna_inpaint.evaluate.candidates import components, pixels_by_slice
from napari_rsna_inpaint.sweep.metrics import METRICS
from napari_rsna_inpaint.sweep.subject import Subject

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Regions:
    """Connected regions (26 neighbours) of a map.

    Attributes
    ----------
    peak
        ``(n,)`` highest value; None where all of them reach the threshold.
    area_mm2
        ``(n,)`` in the slice where it is largest.
    touched
        ``(n, z)`` bool, slices where it lies.
    """

    peak: npt.NDArray[np.float64] | None
    area_mm2: npt.NDArray[np.float64]
    touched: BoolArray

    def kept(self, threshold: float, min_area_mm2: float) -> BoolArray:
        """``(n,)`` which of them are candidates."""
        large = self.area_mm2 >= min_area_mm2
        return large if self.peak is None else large & (self.peak >= threshold)


class Levels:
    """A metric of one scan, to be cut at any threshold.

    The regions at a threshold are measured once, so that it can be moved back and forth, and
    the smallest area changed, at no cost.

    Parameters
    ----------
    size_mm
        Of the squares, where the metric has any.

    Attributes
    ----------
    values
        ``(z, y, x)`` map, cropped to the brain as in ``subject``.

    Raises
    ------
    InputRefused
        If squares of this size were not measured.
    """

    def __init__(self, subject: Subject, metric: str, size_mm: float | None = None) -> None:
        self.subject = subject
        self.metric = METRICS[metric]
        self.values = subject.values(metric, size_mm)
        self._measured: dict[float, Regions] = {}
        self._squares = (
            np.sort([getattr(one, metric) for one in subject.squares(size_mm)])
            if self.metric.kind == "square"
            else None
        )

    def regions(self, threshold: float) -> Regions:
        """All regions at a threshold, small ones too."""
        extent = self._extent(threshold)
        if extent not in self._measured:
            self._measured[extent] = self._measure(*self._parts(extent))
        return self._measured[extent]

    def candidates(self, threshold: float, min_area_mm2: float) -> BoolArray:
        """``(n,)`` which of the regions at a threshold are large and high enough."""
        return self.regions(threshold).kept(threshold, min_area_mm2)

    def peaks(self, min_area_mm2: float) -> npt.NDArray[np.float64] | None:
        """``(n,)`` highest values of all regions that are large enough.

        None where the regions change with the threshold.
        """
        found = None if self.metric.extent is None else self.regions(self.metric.extent)
        if found is None or found.peak is None:
            return None
        return found.peak[found.area_mm2 >= min_area_mm2]

    def flagged_squares(self, threshold: float) -> int | None:
        """Number of squares that reach a threshold; None for a map."""
        if self._squares is None:
            return None
        return int(len(self._squares) - np.searchsorted(self._squares, threshold))

    def labels(self, threshold: float, min_area_mm2: float) -> npt.NDArray[np.int32]:
        """``(z, y, x)`` number of the candidate, cropped; numbered from 1 in any order."""
        parts, _ = self._parts(self._extent(threshold))
        kept = self.candidates(threshold, min_area_mm2)
        number = np.zeros(len(kept) + 1, np.int32)
        number[1:][kept] = np.arange(1, kept.sum() + 1)
        return number[parts]

    def plane(self, z: int, threshold: float, min_area_mm2: float) -> BoolArray:
        """``(y, x)`` candidates of one slice, cropped, at once.

        Where the regions change with the threshold, each slice is judged by itself: a small
        part of a region that is large in another slice is missing.
        """
        if self.metric.extent is not None:
            return np.append(False, self.candidates(threshold, min_area_mm2))[self._fixed[0][z]]
        parts, n = components(self.values[z : z + 1] >= threshold)
        area = self.subject.area_mm2(np.bincount(parts.ravel(), minlength=n + 1))
        kept = area >= min_area_mm2
        kept[0] = False
        return kept[parts[0]]

    def _extent(self, threshold: float) -> float:
        return threshold if self.metric.extent is None else self.metric.extent

    @cached_property
    def _fixed(self) -> tuple[npt.NDArray[np.int32], int]:
        """Regions whose extent does not depend on the threshold."""
        assert self.metric.extent is not None
        return components(self.values > self.metric.extent)

    def _parts(self, extent: float) -> tuple[npt.NDArray[np.int32], int]:
        if self.metric.extent is not None:
            return self._fixed
        return components(self.values >= extent)

    def _measure(self, parts: npt.NDArray[np.int32], n: int) -> Regions:
        pixels = pixels_by_slice(parts, n)
        area = self.subject.area_mm2(pixels.max(1, initial=0))
        return Regions(self._peaks(parts, n), area, pixels > 0)

    def _peaks(self, parts: npt.NDArray[np.int32], n: int) -> npt.NDArray[np.float64] | None:
        if self.metric.extent is None:
            return None
        inside = np.flatnonzero(parts)
        peaks = np.full(n, -np.inf)
        np.maximum.at(peaks, parts.ravel()[inside] - 1, self.values.ravel()[inside])
        return peaks
