"""Letters and numbers on the canvas: which side is which, which slice is shown."""

from __future__ import annotations

from typing import Any

from napari.components.overlays import TextOverlay
from napari.viewer import Viewer

from napari_rsna_inpaint._qt.layers import END_LETTERS, is_ct, layer_volume

_PLACES = ("top_center", "bottom_center", "middle_left", "middle_right", "top_left")


class CanvasText:
    """Side letters at the edges and ``Slice k / n`` in the corner of one viewer."""

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        overlays = viewer.canvas.overlays
        for place in _PLACES:
            overlays[_key(place)] = TextOverlay(
                position=place, font_size=13, color="#cfd8dc", visible=True, box=False
            )
        viewer.dims.events.order.connect(self.update)
        viewer.dims.events.ndisplay.connect(self.update)
        viewer.dims.events.current_step.connect(self.update)
        viewer.layers.events.inserted.connect(self.update)
        viewer.layers.events.removed.connect(self.update)
        self.update()

    def update(self, _event: Any = None) -> None:
        """Write what the current plane calls for."""
        viewer = self._viewer
        layer = next((layer for layer in viewer.layers if is_ct(layer)), None)
        volume = layer_volume(layer)
        words = [""] * len(_PLACES)
        if layer is not None and volume is not None and viewer.dims.ndim == 3:
            shown = viewer.dims.displayed
            if len(shown) == 2:
                words[:4] = [*END_LETTERS[shown[0]], *END_LETTERS[shown[1]]]
                (hidden,) = viewer.dims.not_displayed
                index = round(layer.world_to_data(viewer.dims.point)[hidden])
                words[4] = (
                    f"{'Slice' if hidden == 0 else 'Plane'} {index + 1} / {volume.hu.shape[hidden]}"
                )
        for place, word in zip(_PLACES, words, strict=True):
            viewer.canvas.overlays[_key(place)].text = word


def _key(place: str) -> str:
    return f"rsna_inpaint_{place}"


def write_on_canvas(viewer: Viewer) -> None:
    """Add the texts to a viewer once."""
    if _key(_PLACES[0]) not in viewer.canvas.overlays:
        # The viewer keeps its overlays; only the callbacks need an owner that lives as long.
        viewer.window._qt_window.setProperty("rsna_inpaint_canvas_text", CanvasText(viewer))
