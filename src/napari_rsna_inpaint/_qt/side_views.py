"""Coronal and sagittal views beside the main one, linked to it."""

from __future__ import annotations

import time
from typing import Any

from napari.utils.events import disconnect_events
from napari.viewer import Viewer
from qtpy.QtCore import QSize, Qt, QTimer
from qtpy.QtGui import QHideEvent, QResizeEvent, QShowEvent
from qtpy.QtWidgets import QSplitter, QVBoxLayout, QWidget

from napari_rsna_inpaint._qt.layer_twin import can_have_twin
from napari_rsna_inpaint._qt.plane_view import PlaneView

_CORONAL, _SAGITTAL = (1, 0, 2), (2, 0, 1)
# Changed data are drawn at most once a second, and drawing them takes at most a
# fifth of the time.
_REFRESH_MS = 1000
_SHARE = 5


class SideViews(QWidget):
    """The image and labels layers of a viewer, coronal and sagittal.

    Layers with another number of axes than three, and shapes and points, are left out. The
    views exist only while the widget is shown: hidden, it does and holds nothing.

    Parameters
    ----------
    viewer
        The main viewer.
    parent
        As for any widget.

    Attributes
    ----------
    coronal, sagittal
        The two views.
    """

    def __init__(self, viewer: Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._views: list[PlaneView] = []
        self._arranging = _timer(self, self._arrange)
        self._refreshing = _timer(self, self._refresh_views)
        self._refreshing.setInterval(_REFRESH_MS)
        self._splitter = QSplitter(Qt.Orientation.Vertical)
        self._splitter.setChildrenCollapsible(False)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._splitter)
        self.setMinimumSize(220, 220)

    @property
    def coronal(self) -> PlaneView:
        """The view from the front."""
        return self._views[0]

    @property
    def sagittal(self) -> PlaneView:
        """The view from the left."""
        return self._views[1]

    def sizeHint(self) -> QSize:  # noqa: N802
        """Two square views."""
        return QSize(300, 600)

    def refresh(self) -> None:
        """Show the present data of all layers soon; for data that changed in place."""
        for view in self._views:
            view.mark_stale()
        if self._views:
            self._refresh_soon()

    def fit(self) -> None:
        """Show all of the head in both views, at the same scale."""
        for view in self._views:
            view.zoomed = False
        self._fit()

    def showEvent(self, event: QShowEvent | None) -> None:  # noqa: N802
        """Make the views and begin to follow the main viewer."""
        super().showEvent(event)
        if not self._views:
            self._build()
            self._follow()

    def hideEvent(self, event: QHideEvent | None) -> None:  # noqa: N802
        """Close the views; this comes before the window closes too."""
        super().hideEvent(event)
        # A window that is only minimised keeps them.
        if event is None or not event.spontaneous():
            self._rest()

    def resizeEvent(self, event: QResizeEvent | None) -> None:  # noqa: N802
        """Put the views one above the other where there is more height than width."""
        super().resizeEvent(event)
        upright = self.height() >= self.width()
        wanted = Qt.Orientation.Vertical if upright else Qt.Orientation.Horizontal
        if self._splitter.orientation() != wanted:
            self._splitter.setOrientation(wanted)
            self._splitter.setSizes([1000, 1000])

    def _build(self) -> None:
        for order in (_CORONAL, _SAGITTAL):
            view = PlaneView(self._viewer, order)
            view.resized.connect(self._fit)
            view.fit_wanted.connect(self._fit)
            self._splitter.addWidget(view.canvas)
            self._views.append(view)
        self._splitter.setSizes([1000, 1000])

    def _follow(self) -> None:
        layers = self._viewer.layers.events
        for emitter in (layers.inserted, layers.removed, layers.reordered):
            emitter.connect(self._arrange_soon)
        self._viewer.dims.events.point.connect(self._go_there)
        self._viewer.events.theme.connect(self._take_theme)
        self._take_theme()
        self._arrange()

    def _rest(self) -> None:
        for events in (self._viewer.layers.events, self._viewer.dims.events, self._viewer.events):
            disconnect_events(events, self)
        self._arranging.stop()
        self._refreshing.stop()
        for view in self._views:
            view.close()
        self._views = []

    def _arrange_soon(self, _event: Any = None) -> None:
        # Layers come and go in groups.
        self._arranging.start()

    def _arrange(self) -> None:
        """Show the layers that the viewer has now."""
        sources = [layer for layer in self._viewer.layers if can_have_twin(layer)]
        moved = [view.show_layers(sources, self._refresh_soon) for view in self._views]
        self._go_there()
        if any(moved):
            self.fit()

    def _refresh_soon(self) -> None:
        if not self._refreshing.isActive():
            self._refreshing.start()

    def _refresh_views(self) -> None:
        begun = time.perf_counter()
        # New data may have another number of axes.
        self._arrange()
        for view in self._views:
            view.refresh()
        spent = 1000 * (time.perf_counter() - begun)
        self._refreshing.setInterval(max(_REFRESH_MS, round(_SHARE * spent)))

    def _go_there(self, _event: Any = None) -> None:
        point = self._viewer.dims.point[-3:]
        if len(point) == 3:
            for view in self._views:
                view.go_to(point)

    def _take_theme(self, _event: Any = None) -> None:
        for view in self._views:
            view.model.theme = self._viewer.theme

    def _fit(self) -> None:
        """Fit the views that nobody zoomed; one scale makes the head as large in both."""
        views = [view for view in self._views if view.model.layers]
        if views:
            zoom = min(view.fitting_zoom() for view in views)
            for view in views:
                if not view.zoomed:
                    view.fit(zoom)


def _timer(parent: SideViews, act: Any) -> QTimer:
    timer = QTimer(parent)
    timer.setSingleShot(True)
    timer.timeout.connect(act)
    return timer
