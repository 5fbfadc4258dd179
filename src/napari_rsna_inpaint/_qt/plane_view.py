"""One more plane of the layers of a viewer: coronal or sagittal, with its own canvas."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from napari.components import ViewerModel
from napari.layers import Image, Layer
from napari.qt import QtViewer
from napari.viewer import Viewer
from qtpy.QtCore import QObject, Qt, Signal

from napari_rsna_inpaint._qt.canvas_text import slice_number
from napari_rsna_inpaint._qt.framing import head_corners
from napari_rsna_inpaint._qt.layer_twin import LayerTwin
from napari_rsna_inpaint._qt.layers import layer_volume
from napari_rsna_inpaint._qt.own_context import keep_own_context
from napari_rsna_inpaint._qt.plane_marks import PlaneMarks
from napari_rsna_inpaint._qt.plane_mouse import PlaneMouse
from napari_rsna_inpaint._qt.shown import shown_ct
from napari_rsna_inpaint._qt.tilt import upright, upright_letters

#: Part of the canvas that the head takes; the rest is for the letters.
_FILLED = 0.84


class PlaneView(QObject):
    """A second canvas on the world axes of a viewer.

    Parameters
    ----------
    viewer
        The viewer whose layers are shown and whose point moves.
    order
        World axes: the hidden one, then rows and columns.

    Signals
    -------
    resized
        The canvas has another size.
    fit_wanted
        The whole head is to be shown again.

    Attributes
    ----------
    viewer
        As given.
    model, canvas
        Viewer of this plane, and the widget that shows it.
    marks
        Lines at the other planes, letters, and the slice number.
    zoomed
        Whether a person chose the part that is shown.
    """

    resized = Signal()
    fit_wanted = Signal()

    def __init__(self, viewer: Viewer, order: tuple[int, int, int]) -> None:
        super().__init__()
        self.viewer = viewer
        self._order = order
        self._sources: list[Layer] = []
        self._twins: dict[Layer, LayerTwin] = {}
        self._world = np.eye(4)
        self._framed: npt.NDArray[np.floating] = np.zeros((2, 3))
        self.zoomed = False
        self.model = ViewerModel(ndisplay=2, order=order)
        PlaneMouse(self)
        self.canvas = QtViewer(self.model)
        keep_own_context(self.canvas)
        self.canvas.dims.hide()
        # Files are dropped on the window, and its keys work wherever was clicked.
        self.canvas.setAcceptDrops(False)
        native = self.canvas.canvas.native
        native.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.marks = PlaneMarks(native, self.model)
        self.model.canvas.events.size.connect(self._on_size)
        self.model.scene.camera.events.connect(self._on_camera)

    @property
    def hidden_axis(self) -> int:
        """World axis along which this view scrolls."""
        return self._order[0]

    @property
    def empty(self) -> bool:
        """Whether it shows no layer."""
        return not self._twins

    def show_layers(self, sources: Sequence[Layer], on_stale: Callable[[], None]) -> bool:
        """Show these layers of the viewer, the first at the bottom, and no others.

        Parameters
        ----------
        sources
            The layers.
        on_stale
            Called when one of them has other data, or is shown or hidden.

        Returns
        -------
        bool
            Whether another part of the world is shown than before.
        """
        ct = shown_ct(self.viewer)
        world = upright(layer_volume(ct), self.hidden_axis)
        straight = np.array_equal(world, self._world)
        if straight and [*sources] == self._sources:
            return False
        before = self._framed
        self._remove([one for one in self._sources if one not in sources or not straight])
        self._world, self._sources = world, [*sources]
        self._add(on_stale)
        if self.empty:
            self.marks.cross(None)
            self.marks.write((), "")
        self._framed = self._frame(ct)
        return not np.array_equal(before, self._framed)

    def _frame(self, ct: Image | None) -> npt.NDArray[np.floating]:
        """Low and high corner ``(2, 3)`` of what is worth showing, mm: the head, or all layers."""
        volume = layer_volume(ct)
        if ct is None or volume is None:
            extent = self.model.layers.extent
            return extent.world + np.outer((-0.5, 0.5), extent.step)
        corners = head_corners(volume, ct) @ self._world[:3, :3].T + self._world[:3, 3]
        return np.array([corners.min(axis=0), corners.max(axis=0)])

    def mark_stale(self) -> None:
        """Let the next refresh show the data of all layers anew."""
        for twin in self._twins.values():
            twin.stale = True

    def refresh(self) -> None:
        """Show the present data of the layers whose data changed."""
        for twin in self._twins.values():
            if twin.stale:
                twin.refresh()

    def go_to(self, point: Sequence[float]) -> None:
        """Show the plane through a point in mm; only the lines move where it is shown already.

        Parameters
        ----------
        point
            The point in the world of the main viewer, three axes.
        """
        if self.empty:
            return
        hidden, rows, columns = self._order
        # Other axes are left alone: napari would cut the same plane again.
        if self.model.dims.point[hidden] != point[hidden]:
            self.model.dims.set_point(hidden, point[hidden])
        there = self._world @ (*point, 1)
        lines = [(self._world[rows, axis], self._world[columns, axis]) for axis in (rows, columns)]
        self.marks.cross((there[rows], there[columns]), lines)
        self._write(point)

    def to_main(self, position: Sequence[float]) -> npt.NDArray[np.floating]:
        """Point in the world of the main viewer at a position of this view, mm."""
        return np.linalg.solve(self._world, (*position, 1))[:3]

    def fitting_zoom(self) -> float:
        """Canvas pixels per mm at which the head fits."""
        size = (self._framed[1] - self._framed[0])[list(self._order[1:])]
        return _FILLED * float(np.min(np.array(self.model.canvas.size) / np.maximum(size, 1e-6)))

    def fit(self, zoom: float) -> None:
        """Show the middle of the head."""
        low, high = self._framed[:, list(self._order[1:])]
        camera = self.model.scene.camera
        camera.center = (0.0, *((low + high) / 2))
        camera.zoom = zoom
        self.zoomed = False

    def close(self) -> None:
        """Let go of the layers and of the canvas."""
        for twin in self._twins.values():
            twin.close()
        self._twins.clear()
        self.canvas.close()

    def _remove(self, gone: Sequence[Layer]) -> None:
        if not gone:
            return
        # After every removal napari collects garbage, which takes long; in a batch, once.
        with self.model.layers.batched_update():
            for source in gone:
                twin = self._twins.pop(source)
                twin.close()
                self.model.layers.remove(twin.layer)

    def _add(self, on_stale: Callable[[], None]) -> None:
        """Make the missing twins and put all in order."""
        layers, dims = self.model.layers, self.model.dims
        if not layers:
            # napari goes back to two axes with the last layer.
            dims.ndim = 3
            dims.order = self._order
        for index, source in enumerate(self._sources):
            if source not in self._twins:
                twin = LayerTwin(source, self.viewer.dims, self._world, on_stale)
                self._twins[source] = twin
                layers.append(twin.layer)
            at = layers.index(self._twins[source].layer)
            if at != index:
                layers.move(at, index)
        layers.selection.clear()

    def _write(self, point: Sequence[float]) -> None:
        ct = shown_ct(self.viewer)
        volume = layer_volume(ct)
        if ct is None or volume is None:
            self.marks.write((), "")
            return
        hidden, rows, columns = self._order
        letters = upright_letters(volume)
        self.marks.write((*letters[rows], *letters[columns]), slice_number(ct, point, hidden))

    def _on_size(self, _event: Any) -> None:
        self.marks.setGeometry(self.canvas.canvas.native.rect())
        self.resized.emit()

    def _on_camera(self, _event: Any) -> None:
        self.marks.update()
