"""The mouse as on a hospital viewer, and what is written on the canvas while reading."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.utils.notifications import show_warning

from napari_rsna_inpaint._qt.navigation import scrolled_axis, step_slices
from napari_rsna_inpaint._qt.readout import Readout
from napari_rsna_inpaint._qt.settings import on_change, settings
from napari_rsna_inpaint._qt.shown import is_drawing, shown_ct
from napari_rsna_inpaint._qt.window import WindowLine, begin_window_drag

_LEFT_BUTTON, _RIGHT_BUTTON = 1, 2
_ZOOM_STEP = 1.15


def install_habits(viewer: ViewerModel) -> None:
    """Give a viewer the readout, the window text and, if preferred, the radiology mouse."""
    if _installed(viewer) is None:
        chosen = settings()
        for problem in chosen.problems:
            show_warning(problem)
        Habits(viewer)


def remove_habits(viewer: ViewerModel) -> None:
    """Leave the mouse as napari has it."""
    habits = _installed(viewer)
    if habits is not None:
        habits.remove()


def _installed(viewer: ViewerModel) -> Habits | None:
    for callback in viewer.mouse_move_callbacks:
        owner = getattr(callback, "__self__", None)
        if isinstance(owner, Habits):
            return owner
    return None


class Habits:
    """What one viewer does with the mouse; its callbacks on the viewer keep it alive."""

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._progress = 0.0
        self._napari_scroll: list[Any] = []
        self._readout = Readout(viewer)
        self._window = WindowLine(viewer)
        viewer.mouse_move_callbacks.append(self.move)
        viewer.mouse_drag_callbacks.append(self.point)
        viewer.dims.events.point.connect(self._readout.refresh)
        on_change("reading", "mouse_habits", self._follow_settings)
        on_change("reading", "presets", self._window.write)
        self._follow_settings()

    def remove(self) -> None:
        """Take the callbacks away; what is on the canvas is emptied."""
        self._viewer.mouse_move_callbacks.remove(self.move)
        self._viewer.mouse_drag_callbacks.remove(self.point)
        self._viewer.dims.events.point.disconnect(self._readout.refresh)
        self._readout.clear()
        self._window.clear()
        self._be_radiological(False)

    def move(self, viewer: ViewerModel, event: Any) -> None:
        """Say what is under the cursor."""
        self._readout.move(tuple(event.position))

    def scroll(self, viewer: ViewerModel, event: Any) -> None:
        """Scroll slices; with Ctrl, and in 3-D, zoom around the cursor."""
        delta = float(np.clip(event.delta[1], -1, 1))
        if "Control" in event.modifiers or scrolled_axis(viewer) is None:
            _zoom(viewer, _ZOOM_STEP**delta, event.position)
        elif not event.modifiers:
            # a touchpad sends fractions of a step
            self._progress += delta if event.native.inverted() else -delta
            steps = int(self._progress)
            self._progress -= steps
            step_slices(viewer, steps)
        else:
            return
        event.handled = True

    def drag_window(self, viewer: ViewerModel, event: Any) -> Iterator[None]:
        """Change the window: to the right it gets wider, downwards darker."""
        if event.button != _RIGHT_BUTTON or event.modifiers or is_drawing(viewer):
            return
        change = begin_window_drag(viewer, event)
        if change is None:
            return
        camera = viewer.scene.camera
        panned = camera.mouse_pan
        # the camera would zoom with the right button
        camera.mouse_pan = False
        event.handled = True
        try:
            yield
            while event.type == "mouse_move":
                change(event)
                event.handled = True
                yield
        finally:
            camera.mouse_pan = panned

    def point(self, viewer: ViewerModel, event: Any) -> Iterator[None]:
        """A click that does not drag: the side views go there."""
        if (
            event.button != _LEFT_BUTTON
            or event.modifiers
            or viewer.dims.ndisplay != 2
            or shown_ct(viewer) is None
            or is_drawing(viewer)
        ):
            return
        yield
        if event.type == "mouse_release":
            shown = viewer.dims.displayed
            viewer.dims.set_point(shown, [event.position[axis] for axis in shown])

    def _follow_settings(self, _event: Any = None) -> None:
        self._be_radiological(settings().mouse_habits == "radiology")

    def _be_radiological(self, wanted: bool) -> None:
        viewer = self._viewer
        wheel, drag = viewer.mouse_wheel_callbacks, viewer.mouse_drag_callbacks
        if wanted == (self.scroll in wheel):
            return
        viewer.scene.camera.mouse_zoom = not wanted
        if wanted:
            # napari's own scrolls slices with Ctrl, which zooms here
            self._napari_scroll = [f for f in wheel if f.__name__ == "dims_scroll"]
            for callback in self._napari_scroll:
                wheel.remove(callback)
            wheel.insert(0, self.scroll)
            drag.insert(0, self.drag_window)
        else:
            wheel.remove(self.scroll)
            drag.remove(self.drag_window)
            wheel.extend(self._napari_scroll)


def _zoom(viewer: ViewerModel, factor: float, position: tuple[float, ...]) -> None:
    """Zoom so that what is under the cursor stays there (in 3-D: around the centre)."""
    camera = viewer.scene.camera
    camera.zoom *= factor
    if viewer.dims.ndisplay == 2:
        here = np.array(position)[list(viewer.dims.displayed)]
        centre = np.array(camera.center)[-2:]
        camera.center = tuple(here - (here - centre) / factor)
