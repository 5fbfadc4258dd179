"""Drawing of a region: one Labels layer, with napari's tools and a box."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap
from qtpy.QtCore import QObject, Signal

from napari_rsna_inpaint._qt.layers import geometry
from napari_rsna_inpaint._qt.reading import Reading

REGION = "Region"
#: What is drawn with, and what it is called; all but the box are modes of napari's Labels.
TOOLS = {"polygon": "Polygon", "paint": "Brush", "box": "Box", "erase": "Erase"}
BRUSH_MM = 6.0

_COLOUR = "#e040fb"
_RESTING = "pan_zoom"
_NUDGE = 1e-3


class RegionDrawing(QObject):
    """The layer "Region" of the study that is read; to be used in the main thread only.

    Signals
    -------
    tool_changed
        One of `TOOLS`, or an empty string when nothing is drawn.
    """

    tool_changed = Signal(str)

    def __init__(self, reading: Reading) -> None:
        super().__init__()
        self._reading = reading
        self._boxing = False

    @property
    def layer(self) -> Labels | None:
        """The layer, or None if nothing was drawn in this study or it was removed."""
        layer = self._reading.layer(REGION)
        return layer if isinstance(layer, Labels) else None

    def start(self, tool: str) -> None:
        """Draw with one of `TOOLS` on the slice that is shown, and on every other one."""
        layer = self.layer
        if layer is None:
            layer = self._add()
        viewer = self._reading.viewer
        viewer.layers.selection.active = layer
        layer.visible = True
        self.fill(layer)
        layer.selected_label = 1
        layer.mode = _RESTING if tool == "box" else tool
        if tool == "box":
            self._boxing = True
            layer.mouse_pan = False
            self.tool_changed.emit("box")

    def stop(self) -> None:
        """Draw no more; the region stays."""
        layer = self.layer
        if layer is not None:
            layer.mode = _RESTING
            layer.mouse_pan = True
        self._boxing = False
        self.tool_changed.emit("")

    def clear(self) -> None:
        """Take the drawn region away; napari's undo brings it back."""
        layer = self.layer
        if layer is None:
            return
        drawn = np.flatnonzero(layer.data.any((1, 2)))
        z, y, x = np.nonzero(layer.data[drawn])
        layer.data_setitem((drawn[z], y, x), 0)

    def mask(self) -> npt.NDArray[np.bool_] | None:
        """What is drawn, ``(z, y, x)``, or None if that is nothing."""
        layer = self.layer
        if layer is None:
            return None
        drawn = np.flatnonzero(layer.data.any((1, 2)))
        if not len(drawn):
            return None
        # of a long series only the slices that are drawn on take memory
        mask = np.zeros(layer.data.shape, bool)
        mask[drawn] = layer.data[drawn] > 0
        return mask

    def outline(self) -> None:
        """Show the region as a line, so that what is inside can be seen."""
        layer = self.layer
        if layer is not None:
            layer.contour = 1
            layer.opacity = 0.9

    def fill(self, layer: Labels) -> None:
        """Show the region as an area."""
        layer.contour = 0
        layer.opacity = 0.35

    def _add(self) -> Labels:
        volume = self._reading.volume
        assert volume is not None
        colours = {0: "transparent", 1: _COLOUR, None: "transparent"}
        layer = Labels(
            np.zeros(volume.hu.shape, np.uint8),
            name=REGION,
            colormap=DirectLabelColormap(color_dict=colours),
            **geometry(volume),
        )
        layer.brush_size = max(1, round(BRUSH_MM / min(volume.spacing[1:])))
        layer.events.mode.connect(self._follow_mode)
        layer.mouse_drag_callbacks.append(self._draw_box)
        _draw_polygons_on_the_slice_shown(layer)
        self._reading.viewer.layers.append(layer)
        return layer

    def _follow_mode(self, event: Any) -> None:
        """A tool was chosen, here or in napari's own controls."""
        self._boxing = False
        mode = str(event.mode)
        self.tool_changed.emit(mode if mode in TOOLS else "")

    def _draw_box(self, layer: Labels, event: Any) -> Iterator[None]:
        """Draw a rectangle from where the left button went down to where the mouse is."""
        if not self._boxing or event.button != 1:
            return
        across = list(event.dims_displayed)
        last = np.array(layer.data.shape) - 1
        start = np.round(layer.world_to_data(event.position)).astype(int)
        if (start < 0).any() or (start > last).any():
            return
        key: list[Any] = [slice(None) if axis in across else start[axis] for axis in range(3)]
        plane = tuple(key)
        before = layer.data[plane].copy()
        end = start
        yield
        while event.type == "mouse_move":
            end = np.round(layer.world_to_data(event.position)).astype(int).clip(0, last)
            low, high = np.minimum(start, end), np.maximum(start, end) + 1
            for axis in across:
                key[axis] = slice(low[axis], high[axis])
            layer.data[plane] = before
            layer.data[tuple(key)] = 1
            layer.refresh(thumbnail=False, extent=False)
            yield
        # once more by napari's own way, which can be undone
        layer.data[plane] = before
        if (start[across] != end[across]).all():
            corners = np.repeat(start[None], 4, axis=0)
            corners[1:3, across[0]] = end[across[0]]
            corners[2:4, across[1]] = end[across[1]]
            layer.paint_polygon(corners, 1)
        else:
            layer.refresh()


def _draw_polygons_on_the_slice_shown(layer: Labels) -> None:
    """Mend that napari cuts decimals off: a corner on slice 24.9999999 is one on slice 25."""
    paint = layer.paint_polygon

    def paint_polygon(points: npt.ArrayLike, new_label: int) -> None:
        paint(np.asarray(points, float) + _NUDGE, new_label)

    layer.paint_polygon = paint_polygon
