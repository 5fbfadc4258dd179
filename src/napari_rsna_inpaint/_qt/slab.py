"""Thick slabs: several slices shown as one, by their mean or their highest value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from napari.components import ViewerModel
from napari.layers import Image

from napari_rsna_inpaint._qt.canvas_line import canvas_line
from napari_rsna_inpaint._qt.navigation import scrolled_axis
from napari_rsna_inpaint._qt.shown import same_study, shown_ct
from napari_rsna_inpaint.volume import Array

Mode = Literal["mean", "max"]

THICKNESSES_MM = (5.0, 10.0, 15.0)
_NAMES: dict[Mode, str] = {"mean": "Mean", "max": "MIP"}
# napari includes the last slice only where a margin ends exactly on it; this one ends between
# two slices, so that the slab is the same however the point is rounded.
_BEYOND = 0.987


@dataclass(frozen=True)
class Slab:
    """A number of neighbouring slices shown as one."""

    count: int = 1
    mode: Mode = "mean"

    def around(self, index: int, length: int) -> slice:
        """Slices of an axis of ``length`` that are shown at ``index``; one more above if even."""
        first = index - (self.count - 1) // 2
        return slice(max(first, 0), min(first + self.count, length))

    def value(self, data: Array, axis: int, index: tuple[int, int, int]) -> float:
        """What is shown at a voxel ``(z, y, x)`` when ``axis`` is scrolled."""
        where: list[int | slice] = list(index)
        where[axis] = self.around(index[axis], data.shape[axis])
        return float(self._project(np.asarray(data[tuple(where)]), 0))

    def plane(self, data: Array, axis: int, index: int) -> npt.NDArray:
        """The shown plane, with the two other axes in their order."""
        where: list[slice] = [slice(None)] * 3
        where[axis] = self.around(index, data.shape[axis])
        return self._project(np.asarray(data[tuple(where)]), axis)

    def _project(self, values: npt.NDArray, axis: int) -> npt.NDArray:
        if self.mode == "max":
            return values.max(axis=axis)
        return values.mean(axis=axis, dtype=np.float32)


def slabs(spacing_mm: float) -> list[Slab]:
    """All different slabs of slices ``spacing_mm`` apart, the single slice first."""
    counts = sorted({max(1, round(mm / spacing_mm)) for mm in THICKNESSES_MM} - {1})
    modes: tuple[Mode, ...] = ("mean", "max")
    return [Slab(), *(Slab(count, mode) for mode in modes for count in counts)]


def shown_slab(viewer: ViewerModel, ct: Image) -> Slab:
    """The slab that a viewer shows."""
    axis = scrolled_axis(viewer)
    if axis is None or str(ct.projection_mode) == "none":
        return Slab()
    step = ct.scale[axis]
    below, above = viewer.dims.margin_left[axis] / step, viewer.dims.margin_right[axis] / step
    return Slab(1 + int(below) + int(above), "max" if str(ct.projection_mode) == "max" else "mean")


def cycle_slab(viewer: ViewerModel) -> None:
    """Go to the next thicker slab: means first, then MIPs, then back to single slices."""
    ct, axis = shown_ct(viewer), scrolled_axis(viewer)
    if ct is None or axis is None:
        return
    choices = slabs(abs(float(ct.scale[axis])))
    now = shown_slab(viewer, ct)
    position = choices.index(now) if now in choices else 0
    show_slab(viewer, choices[(position + 1) % len(choices)])


def show_slab(viewer: ViewerModel, slab: Slab) -> None:
    """Show every image of the study as this slab, and say so on the canvas."""
    ct, axis = shown_ct(viewer), scrolled_axis(viewer)
    if ct is None or axis is None:
        return
    for layer in viewer.layers:
        if isinstance(layer, Image):
            # margins have the sign of our scale, which does not fit images of others
            ours = same_study(layer, ct)
            layer.projection_mode = slab.mode if ours else "none"
    below, above = (slab.count - 1) // 2, slab.count // 2 + _BEYOND
    step = float(ct.scale[axis])
    margins = (below * step, above * step) if slab.count > 1 else (0.0, 0.0)
    for name, margin in zip(("margin_left", "margin_right"), margins, strict=True):
        along = [0.0] * viewer.dims.ndim
        along[axis] = margin
        setattr(viewer.dims, name, along)
    canvas_line(viewer, "slab", "bottom_right").text = (
        f"{_NAMES[slab.mode]} {slab.count * abs(step):.3g} mm\n{slab.count} slices"
        if slab.count > 1
        else ""
    )
