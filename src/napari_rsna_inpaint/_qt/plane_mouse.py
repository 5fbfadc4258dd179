"""The mouse in a side view."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.components import ViewerModel

from napari_rsna_inpaint._qt.window import begin_window_drag

if TYPE_CHECKING:
    from napari_rsna_inpaint._qt.plane_view import PlaneView

_LEFT, _RIGHT, _MIDDLE = 1, 2, 3
_ZOOM_STEP = 1.15

_Act = Callable[[Any], None]


class PlaneMouse:
    """Click or drag: all views go there; right: window; middle: pan; wheel: scroll, with Ctrl zoom.

    A double click fits. Its callbacks on the view's model keep it alive.

    Parameters
    ----------
    view
        The side view.
    """

    def __init__(self, view: PlaneView) -> None:
        self._view = view
        self._scrolled = 0.0
        model = view.model
        model.scene.camera.mouse_pan = False
        model.scene.camera.mouse_zoom = False
        model.mouse_drag_callbacks[:] = [self.drag]
        model.mouse_wheel_callbacks[:] = [self.turn]
        model.mouse_double_click_callbacks[:] = [self.double_click]

    def drag(self, _model: ViewerModel, event: Any) -> Iterator[None]:
        """Do what belongs to the button until it is let go."""
        begin = {_LEFT: self._begin_moving, _RIGHT: self._begin_window, _MIDDLE: self._begin_pan}
        if event.button not in begin or self._view.empty:
            return
        act = begin[event.button](event)
        event.handled = True
        yield
        while event.type == "mouse_move":
            act(event)
            event.handled = True
            yield

    def turn(self, _model: ViewerModel, event: Any) -> None:
        """Scroll or zoom."""
        delta = float(np.clip(event.delta[1], -1, 1))
        if self._view.empty or not set(event.modifiers) <= {"Control"}:
            return
        event.handled = True
        if event.modifiers:
            self._zoom(_ZOOM_STEP**delta, event.position)
            return
        # A touchpad sends parts of a step.
        self._scrolled += delta if event.native.inverted() else -delta
        steps = int(self._scrolled)
        self._scrolled -= steps
        if steps:
            dims = self._view.viewer.dims
            axis = dims.ndim - 3 + self._view.hidden_axis
            dims.set_current_step(axis, dims.current_step[axis] + steps)

    def double_click(self, _model: ViewerModel, _event: Any) -> None:
        """Show all again."""
        self._view.zoomed = False
        self._view.fit_wanted.emit()

    def _begin_moving(self, event: Any) -> _Act:
        def move(event: Any) -> None:
            dims = self._view.viewer.dims
            dims.set_point(range(dims.ndim - 3, dims.ndim), self._view.to_main(event.position))

        move(event)
        return move

    def _begin_window(self, event: Any) -> _Act:
        return begin_window_drag(self._view.viewer, event) or (lambda event: None)

    def _begin_pan(self, event: Any) -> _Act:
        grasped = self._in_plane(event.position)

        def pan(event: Any) -> None:
            self._look_at(self._centre() + grasped - self._in_plane(event.position))

        return pan

    def _zoom(self, factor: float, position: tuple[float, ...]) -> None:
        """Zoom so that what is under the cursor stays there."""
        here = self._in_plane(position)
        self._look_at(here - (here - self._centre()) / factor)
        self._view.model.scene.camera.zoom *= factor

    def _in_plane(self, position: tuple[float, ...]) -> Any:
        return np.array(position)[list(self._view.model.dims.displayed)]

    def _centre(self) -> Any:
        return np.array(self._view.model.scene.camera.center)[-2:]

    def _look_at(self, centre: Any) -> None:
        self._view.model.scene.camera.center = (0.0, *centre)
        self._view.zoomed = True
