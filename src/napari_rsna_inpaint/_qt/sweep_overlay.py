"""The layer "Sweep": what a threshold would show, over the CT."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from napari.layers import Image, Labels, Layer
from napari.utils.colormaps import DirectLabelColormap
from napari.viewer import Viewer

from napari_rsna_inpaint._qt.layers import geometry, layer_volume

NAME = "Sweep"
#: A candidate, and the border of the square that was clicked.
_CANDIDATE, _SQUARE = 1, 2
_COLOURS = {_CANDIDATE: "#ba68c8", _SQUARE: "#e0e0e0", None: "transparent"}

Box = tuple[slice, slice, slice]
#: Slice, and ``(first row, first column, last row, last column)``, in voxels of the CT.
Border = tuple[int, tuple[int, int, int, int]]


class SweepOverlay:
    """Shows candidates of one scan; to be used in the main thread only.

    A layer that the reader removed comes back with the next change.

    Parameters
    ----------
    source
        Layer of the CT.
    box
        Part of the CT that is shown.
    """

    def __init__(self, viewer: Viewer, source: Image, box: Box) -> None:
        self._viewer = viewer
        self._source = source
        self._box = box
        self._shown = np.zeros([side.stop - side.start for side in box], np.uint8)
        self._border: Border | None = None
        self.layer: Layer | None = None

    def show_plane(self, z: int, flagged: npt.NDArray[np.bool_]) -> None:
        """Show candidates of one slice, ``(y, x)`` cropped; the others stay as they were."""
        self._shown[z] = np.where(flagged, _CANDIDATE, 0)
        self._draw_border()
        self._refresh()

    def show(self, flagged: npt.NDArray[np.bool_]) -> None:
        """Show candidates of all slices, ``(z, y, x)`` cropped."""
        self._shown[:] = np.where(flagged, _CANDIDATE, 0)
        self._draw_border()
        self._refresh()

    def mark(self, border: Border | None) -> None:
        """Draw the border of a square, and none elsewhere."""
        self._shown[self._shown == _SQUARE] = 0
        self._border = border
        self._draw_border()
        self._refresh()

    def set_visible(self, visible: bool) -> None:
        """Show or hide the layer, if it is there."""
        if self.layer is not None and self.layer in self._viewer.layers:
            self.layer.visible = visible

    def remove(self) -> None:
        """Take the layer away."""
        if self.layer is not None and self.layer in self._viewer.layers:
            self._viewer.layers.remove(self.layer)

    def _draw_border(self) -> None:
        if self._border is None:
            return
        z, (top, left, bottom, right) = self._border
        _, rows, columns = self._box
        plane = self._shown[z]
        y = np.clip([top - rows.start, bottom - rows.start], 0, plane.shape[0] - 1)
        x = np.clip([left - columns.start, right - columns.start], 0, plane.shape[1] - 1)
        plane[y, x[0] : x[1] + 1] = _SQUARE
        plane[y[0] : y[1] + 1, x] = _SQUARE

    def _refresh(self) -> None:
        layers = self._viewer.layers
        if self._source not in layers:
            return
        if self.layer is not None and self.layer in layers:
            self.layer.refresh(thumbnail=False, extent=False)
            return
        volume = layer_volume(self._source)
        assert volume is not None
        place = geometry(volume)
        start = [side.start for side in self._box]
        layer = Labels(
            self._shown,
            name=NAME,
            colormap=DirectLabelColormap(color_dict=_COLOURS),
            opacity=0.45,
            **place | {"translate": np.add(place["translate"], np.multiply(place["scale"], start))},
        )
        layer.editable = False
        active = layers.selection.active
        layers.append(layer)
        layers.selection.active = active
        self.layer = layer
