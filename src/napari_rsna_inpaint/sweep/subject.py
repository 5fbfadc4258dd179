"""One result as a sweep needs it: cropped to the brain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from napari_rsna_inpaint.detection.result import Detection, Square
from napari_rsna_inpaint.errors import InputRefused
from napari_rsna_inpaint.sweep.metrics import METRICS, MIN_COVERED

FloatArray = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Subject:
    """One scan with its result.

    Attributes
    ----------
    name
        Of the scan, for tables.
    detection
        Its result.
    bleed
        ``(z,)`` labels: 1 bleed, 0 none, -1 unknown; None without labels.
    lesions
        ``(z, y, x)`` bool, the outlined bleeds; None without outlines.
    verdicts
        ``"accepted"`` or ``"rejected"`` by the identity of a finding; others do not count.
    """

    name: str
    detection: Detection
    bleed: npt.NDArray[np.int8] | None = None
    lesions: BoolArray | None = None
    verdicts: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def box(self) -> tuple[slice, slice, slice]:
        """Where the crop lies in the scan; ``z`` is whole.

        Raises
        ------
        InputRefused
            If there is no brain in the result.
        """
        mask = self.detection.brain_mask
        y, x = (np.flatnonzero(mask.any(axis)) for axis in ((0, 2), (0, 1)))
        if not len(y):
            raise InputRefused(f"The result of {self.name} has no brain.")
        return (
            slice(0, len(mask)),
            slice(int(y[0]), int(y[-1]) + 1),
            slice(int(x[0]), int(x[-1]) + 1),
        )

    @cached_property
    def brain(self) -> BoolArray:
        """``(z, y, x)`` brain mask, cropped."""
        return self.detection.brain_mask[self.box]

    def area_mm2(self, pixels: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
        """Area of numbers of pixels of a slice."""
        _, y, x = self.detection.run["input"]["spacing_mm"]
        return pixels * y * x

    @property
    def counted(self) -> BoolArray:
        """``(z,)`` slices with brain that were finished."""
        return self.brain.any((1, 2)) & self.detection.done

    @property
    def ill(self) -> bool | None:
        """Whether labels say that the scan has a bleed; None where they do not tell."""
        if self.bleed is None:
            return None
        if (self.bleed == 1).any():
            return True
        known = self.bleed[self.counted]
        return False if len(known) and (known == 0).all() else None

    @property
    def sizes_mm(self) -> list[float]:
        """Square sizes that were measured, increasing."""
        return sorted({square.size_mm for square in self.detection.squares})

    def squares(self, size_mm: float | None) -> list[Square]:
        """Squares of one size of which enough was hidden.

        Raises
        ------
        InputRefused
            If this size was not measured.
        """
        if size_mm not in self.sizes_mm:
            sizes = ", ".join(f"{size:g}" for size in self.sizes_mm) or "no squares"
            raise InputRefused(
                f"Name a square size that was measured in {self.name}: {sizes} (mm)."
            )
        return [
            one
            for one in self.detection.squares
            if one.size_mm == size_mm and one.covered >= MIN_COVERED
        ]

    def values(self, metric: str, size_mm: float | None = None) -> FloatArray:
        """Map of a metric, ``(z, y, x)``, cropped; minus infinity where nothing is known.

        ``size_mm`` is that of the squares, where the metric has any; raises as `squares`.
        """
        found = self.detection
        if METRICS[metric].kind == "square":
            values = self._of_squares(metric, size_mm)
        elif metric == "heatmap":
            # The heatmap shows dark regions where they are findings, and only there.
            dark = [False, *(one.sign == "hypo" for one in (*found.findings, *found.further))]
            values = np.where(np.array(dark)[found.labels[self.box]], 0, found.heatmap[self.box])
        elif metric == "minimum_distance":
            values = found.minimum_distance[self.box]
        else:
            values = found.residual[self.box]
            values = np.abs(values) if metric == "absolute_residual" else values
        return np.where(self.brain, values, np.float32(-np.inf))

    def _of_squares(self, metric: str, size_mm: float | None) -> FloatArray:
        """The highest value of the squares that cover a pixel."""
        values = np.full(self.brain.shape, -np.inf, np.float32)
        for one in self.squares(size_mm):
            _, y, x = self.box
            rows = _inside(one.y - y.start, one.height)
            columns = _inside(one.x - x.start, one.width)
            part = values[one.slice : one.last_slice + 1, rows, columns]
            np.maximum(part, np.float32(getattr(one, metric)), out=part)
        return values


def _inside(start: float, length: float) -> slice:
    """Pixels whose middle lies in a side of a square, as far as they are not cropped."""
    low, high = (max(int(np.ceil(end)), 0) for end in (start, start + length))
    return slice(low, high)
