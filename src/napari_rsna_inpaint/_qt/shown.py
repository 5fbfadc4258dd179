"""Which study the main view shows, and its layers."""

from __future__ import annotations

from typing import TypeGuard

from napari.components import ViewerModel
from napari.layers import Image, Layer

from napari_rsna_inpaint._qt.layers import is_ct, layer_volume


def shown_ct(viewer: ViewerModel) -> Image | None:
    """Topmost CT that is shown, or shown inpainted; else the topmost one; else None."""
    cts = [layer for layer in reversed(viewer.layers) if _is_ct_image(layer)]
    shown = [ct for ct in cts if any(layer.visible for layer in grey_layers(viewer, ct))]
    return (shown or cts or [None])[0]


def companion(viewer: ViewerModel, ct: Image, name: str) -> Image | None:
    """Image of the same study whose name begins with ``name``, such as ``"Heatmap"``."""
    for layer in viewer.layers:
        if isinstance(layer, Image) and layer.name.startswith(name) and same_study(layer, ct):
            return layer
    return None


def grey_layers(viewer: ViewerModel, ct: Image) -> list[Image]:
    """The CT and its inpainted images: what shares one display window."""
    inpainted = companion(viewer, ct, "Inpainted")
    return [ct] if inpainted is None else [ct, inpainted]


def same_study(layer: Layer, ct: Layer) -> bool:
    """Whether a layer belongs to the study of a CT layer."""
    volume = layer_volume(layer)
    return volume is not None and volume is layer_volume(ct)


def is_drawing(viewer: ViewerModel) -> bool:
    """Whether the mouse draws in the active layer rather than moving the view."""
    active = viewer.layers.selection.active
    return active is not None and str(active.mode) != "pan_zoom"


def _is_ct_image(layer: Layer) -> TypeGuard[Image]:
    return isinstance(layer, Image) and is_ct(layer)
