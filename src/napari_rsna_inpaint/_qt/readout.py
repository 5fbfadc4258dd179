"""HU and position under the cursor, written on the canvas."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from napari.components import ViewerModel
from qtpy.QtCore import QTimer

from napari_rsna_inpaint._qt.canvas_line import canvas_line
from napari_rsna_inpaint._qt.layers import layer_volume
from napari_rsna_inpaint._qt.navigation import scrolled_axis
from napari_rsna_inpaint._qt.shown import companion, shown_ct
from napari_rsna_inpaint._qt.slab import shown_slab

#: At most this often, because every change draws the canvas anew.
_EVERY_S = 0.04
_LPS = (("L", "R"), ("P", "A"), ("H", "F"))


def describe_point(viewer: ViewerModel, position: tuple[float, ...]) -> str:
    """Values and place at a world position; empty outside the CT and in 3-D.

    The values are those of the shown slice or slab; the place is that of the patient (LPS mm),
    with gantry tilt and uneven gaps taken into account.
    """
    ct, axis = shown_ct(viewer), scrolled_axis(viewer)
    if ct is None or axis is None or len(position) != 3:
        return ""
    volume = layer_volume(ct)
    assert volume is not None
    place = ct.world_to_data(position)
    z, y, x = index = tuple(int(i) for i in np.round(place))
    if any(not 0 <= i < n for i, n in zip(index, volume.hu.shape, strict=True)):
        return ""
    slab = shown_slab(viewer, ct)

    def value(data: Any) -> float:
        return slab.value(data, axis, (z, y, x))

    words = []
    for name, form in (("Inpainted", "healthy {:.0f}"), ("Residual", "residual {:+.0f} HU")):
        layer = companion(viewer, ct, name)
        if layer is not None:
            # rounded first: no "-0"
            words.append(form.format(round(value(layer.data)) or 0))
    where = [
        f"{letters[int(mm < 0)]} {abs(mm):.1f}"
        for letters, mm in zip(_LPS, volume.to_patient(place), strict=True)
    ]
    # the longest line lowest: there the head leaves most room
    lines = [f"{value(volume.hu):.0f} HU  slice {z + 1}", "  ".join(words), f"{' '.join(where)} mm"]
    return "\n".join(line for line in lines if line)


class Readout:
    """Keeps the readout of one viewer up to date while the cursor moves or slices change."""

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._line = canvas_line(viewer, "readout", "bottom_left")
        self._position: tuple[float, ...] = ()
        self._last = 0.0
        self._waiting = False

    def move(self, position: tuple[float, ...]) -> None:
        """Take the world position of the cursor."""
        self._position = position
        self.refresh()

    def clear(self) -> None:
        """Say nothing until the cursor moves again."""
        self._position = ()
        self._line.text = ""

    def refresh(self, _event: Any = None) -> None:
        """Write soon, but not more often than the eye can follow."""
        if self._waiting:
            return
        left = _EVERY_S - (time.monotonic() - self._last)
        if left > 0:
            self._waiting = True
            QTimer.singleShot(round(left * 1000) + 1, self._write)
        else:
            self._write()

    def _write(self) -> None:
        self._waiting = False
        self._last = time.monotonic()
        axis = scrolled_axis(self._viewer)
        position = list(self._position)
        if axis is not None and len(position) == self._viewer.dims.ndim:
            # the cursor stays where it is while slices are scrolled below it
            position[axis] = self._viewer.dims.point[axis]
        text = describe_point(self._viewer, tuple(position))
        if self._line.text != text:
            self._line.text = text
