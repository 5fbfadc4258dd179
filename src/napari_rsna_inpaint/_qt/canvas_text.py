"""Letters and numbers on the canvas: which side is which, which slice is shown."""

from __future__ import annotations

from typing import Any

from napari.components.overlays import TextOverlay
from napari.viewer import Viewer

from napari_rsna_inpaint._qt.layers import END_LETTERS, is_ct

_PLACES = ("top_center", "bottom_center", "middle_left", "middle_right", "top_left")


def write_on_canvas(viewer: Viewer) -> None:
    """Write side letters at the edges and ``Slice k / n`` in the corner, kept up to date."""
    overlays = viewer.canvas.overlays
    if _key(_PLACES[0]) in overlays:
        return
    for place in _PLACES:
        overlays[_key(place)] = TextOverlay(
            position=place, font_size=13, color="#cfd8dc", visible=True, box=False
        )

    def update(_event: Any = None) -> None:
        for place, word in zip(_PLACES, _words(viewer), strict=True):
            overlays[_key(place)].text = word

    for event in ("order", "ndisplay", "current_step"):
        getattr(viewer.dims.events, event).connect(update)
    viewer.layers.events.inserted.connect(update)
    viewer.layers.events.removed.connect(update)
    update()


def _words(viewer: Viewer) -> list[str]:
    """Text of each place for the plane that is shown; empty without a CT or in 3-D."""
    layer = next((layer for layer in viewer.layers if is_ct(layer)), None)
    dims = viewer.dims
    if layer is None or dims.ndim != 3 or dims.ndisplay != 2:
        return [""] * len(_PLACES)
    rows, columns = dims.displayed
    (hidden,) = dims.not_displayed
    index = round(layer.world_to_data(dims.point)[hidden])
    kind = "Slice" if hidden == 0 else "Plane"
    number = f"{kind} {index + 1} / {layer.data.shape[hidden]}"
    return [*END_LETTERS[rows], *END_LETTERS[columns], number]


def _key(place: str) -> str:
    return f"rsna_inpaint_{place}"
