"""The layer "Sweep": what a threshold would show, over the CT."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from napari.layers import Image, Labels
from napari.utils.colormaps import DirectLabelColormap
from napari.viewer import Viewer

from napari_rsna_inpaint._qt.layers import geometry, layer_volume
from napari_rsna_inpaint.detection.result import Square

NAME = "Sweep"
#: A candidate, and the border of the square that was clicked.
_CANDIDATE, _SQUARE = 1, 2
_COLOURS = {_CANDIDATE: "#ba68c8", _SQUARE: "#e0e0e0", None: "transparent"}

Box = tuple[slice, slice, slice]
BoolArray = npt.NDArray[np.bool_]


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
        self._flagged = np.zeros(self._shown.shape, bool)
        self._square: tuple[int, Square] | None = None
        self.layer: Labels | None = None

    def show_plane(self, z: int, flagged: BoolArray) -> None:
        """Show candidates of one slice, ``(y, x)`` cropped; the others stay as they were."""
        self._flagged[z] = flagged
        self._shown[z] = np.where(flagged, _CANDIDATE, 0)
        self._refresh()

    def show(self, flagged: BoolArray) -> None:
        """Show candidates of all slices, ``(z, y, x)`` cropped."""
        self._flagged[:] = flagged
        self._shown[:] = np.where(flagged, _CANDIDATE, 0)
        self._refresh()

    def mark(self, z: int, square: Square | None) -> None:
        """Draw the border of a square in slice ``z``, and of no other one."""
        if self._square is not None:
            before = self._square[0]
            self._shown[before] = np.where(self._flagged[before], _CANDIDATE, 0)
        self._square = None if square is None else (z, square)
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
        if self._square is None:
            return
        z, square = self._square
        plane = self._shown[z]
        sides = [
            np.clip(
                np.round([start + 0.5, start + length - 0.5]).astype(int) - side.start, 0, n - 1
            )
            for start, length, side, n in (
                (square.y, square.height, self._box[1], plane.shape[0]),
                (square.x, square.width, self._box[2], plane.shape[1]),
            )
        ]
        (top, bottom), (left, right) = sides
        plane[[top, bottom], left : right + 1] = _SQUARE
        plane[top : bottom + 1, [left, right]] = _SQUARE

    def _refresh(self) -> None:
        self._draw_border()
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
