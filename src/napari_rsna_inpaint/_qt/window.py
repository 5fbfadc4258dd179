"""The display window of the shown study: set, cycled by presets, and written on the canvas."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image

from napari_rsna_inpaint._qt.canvas_line import canvas_line
from napari_rsna_inpaint._qt.layers import layer_volume
from napari_rsna_inpaint._qt.presets import Preset
from napari_rsna_inpaint._qt.settings import settings
from napari_rsna_inpaint._qt.shown import grey_layers, shown_ct

_GREY_NAMES = ("CT", "Inpainted")
_NARROWEST_HU = 1.0
#: One HU a pixel up to this width; wider windows change faster.
_PLAIN_WIDTH_HU = 200.0


def window_of(layer: Image) -> tuple[float, float]:
    """Width and level in HU."""
    low, high = map(float, layer.contrast_limits)
    return high - low, (high + low) / 2


def set_window(viewer: ViewerModel, width: float, level: float) -> None:
    """Show the CT and its inpainted images with this window (HU)."""
    ct = shown_ct(viewer)
    if ct is not None:
        half = max(width, _NARROWEST_HU) / 2
        for layer in grey_layers(viewer, ct):
            layer.contrast_limits = (level - half, level + half)


def begin_window_drag(viewer: ViewerModel, event: Any) -> Callable[[Any], None] | None:
    """What to do with every movement of a drag: to the right wider, downwards darker.

    None without a CT.
    """
    ct = shown_ct(viewer)
    if ct is None:
        return None
    start = np.array(event.pos)
    width, level = window_of(ct)
    rate = max(1.0, width / _PLAIN_WIDTH_HU)

    def change(event: Any) -> None:
        across, down = (np.array(event.pos) - start) * rate
        set_window(viewer, width + across, level + down)

    return change


def window_text(width: float, level: float, presets: tuple[Preset, ...]) -> str:
    """Words such as ``"W 80  L 40"``, below the name of a preset with that window."""
    named = [p.name for p in presets if (p.width, p.level) == (round(width), round(level))]
    return "\n".join([*named[:1], f"W {width:.0f}  L {level:.0f}"])


class WindowLine:
    """Writes the window on the canvas, and keeps the CT and its inpainted images alike."""

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._line = canvas_line(viewer, "window", "bottom_right")
        viewer.layers.events.inserted.connect(self._on_inserted)
        viewer.layers.events.removed.connect(self._on_removed)
        for layer in viewer.layers:
            self._follow(layer)
        self.write()

    def write(self, _event: Any = None) -> None:
        """Say which window is shown; nothing without a CT."""
        ct = shown_ct(self._viewer)
        self._line.text = "" if ct is None else window_text(*window_of(ct), settings().presets)

    def clear(self) -> None:
        """Follow no layer any more."""
        self._viewer.layers.events.inserted.disconnect(self._on_inserted)
        self._viewer.layers.events.removed.disconnect(self._on_removed)
        for layer in self._viewer.layers:
            self._leave(layer)
        self._line.text = ""

    def _follow(self, layer: Any) -> None:
        if isinstance(layer, Image) and layer.name.startswith(_GREY_NAMES) and layer_volume(layer):
            layer.events.contrast_limits.connect(self._on_window)
            layer.events.visible.connect(self.write)

    def _leave(self, layer: Any) -> None:
        if isinstance(layer, Image):
            layer.events.contrast_limits.disconnect(self._on_window)
            layer.events.visible.disconnect(self.write)

    def _on_inserted(self, event: Any) -> None:
        self._follow(event.value)
        ct = shown_ct(self._viewer)
        if ct is not None:
            set_window(self._viewer, *window_of(ct))
        self.write()

    def _on_removed(self, event: Any) -> None:
        self._leave(event.value)
        self.write()

    def _on_window(self, event: Any) -> None:
        changed = event.source
        for layer in self._viewer.layers:
            if (
                isinstance(layer, Image)
                and layer.name.startswith(_GREY_NAMES)
                and layer_volume(layer) is layer_volume(changed)
                and not np.allclose(layer.contrast_limits, changed.contrast_limits)
            ):
                layer.contrast_limits = changed.contrast_limits
        self.write()
