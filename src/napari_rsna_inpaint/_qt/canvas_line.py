"""A line of text at a place of the canvas."""

from __future__ import annotations

from napari.components import ViewerModel
from napari.components.overlays import TextOverlay

_COLOUR = "#cfd8dc"


def canvas_line(viewer: ViewerModel, name: str, position: str) -> TextOverlay:
    """Return the line of that name; it is empty at first.

    Parameters
    ----------
    viewer
        Whose canvas.
    name
        One for each purpose.
    position
        Where on the canvas, such as ``"bottom_left"``.
    """
    key = f"rsna_inpaint_{name}"
    overlays = viewer.canvas.overlays
    if key not in overlays:
        overlays[key] = TextOverlay(
            position=position, font_size=10, color=_COLOUR, visible=True, box=False
        )
    return overlays[key]
