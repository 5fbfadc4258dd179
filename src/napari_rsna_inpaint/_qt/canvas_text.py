"""Letters and numbers on the canvas: which side is which, which slice is shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from napari.components import ViewerModel
from napari.components.overlays import TextOverlay
from napari.layers import Layer

from napari_rsna_inpaint._qt.layers import end_letters, layer_volume
from napari_rsna_inpaint._qt.shown import shown_ct

_PLACES = ("top_center", "bottom_center", "middle_left", "middle_right", "top_left")
_PLANES = ("Slice", "Coronal", "Sagittal")


def write_on_canvas(viewer: ViewerModel) -> None:
    """Write side letters at the edges and the slice number in the corner, kept up to date."""
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


def _words(viewer: ViewerModel) -> list[str]:
    """Text of each place for the plane that is shown; empty without a CT or in 3-D."""
    layer = shown_ct(viewer)
    volume = layer_volume(layer)
    dims = viewer.dims
    if layer is None or volume is None or dims.ndim != 3 or dims.ndisplay != 2:
        return [""] * len(_PLACES)
    rows, columns = dims.displayed
    (hidden,) = dims.not_displayed
    letters = end_letters(volume)
    number = f"{_PLANES[hidden]} {slice_number(layer, dims.point, hidden)}"
    return [*letters[rows], *letters[columns], number]


def slice_number(layer: Layer, point: Sequence[float], axis: int) -> str:
    """Write which slice along an array axis goes through a point in mm, as ``k / n``."""
    index = round(layer.world_to_data(point)[axis])
    return f"{index + 1} / {layer.data.shape[axis]}"


def _key(place: str) -> str:
    return f"rsna_inpaint_{place}"
