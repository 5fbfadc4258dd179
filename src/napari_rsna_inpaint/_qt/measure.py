"""Rulers in mm and regions with their HU, drawn on the shown CT.

napari's own measurements are in pixels; these take positions and areas from the volume, so that
they are true also with gantry tilt and uneven gaps, in all three planes. Corners can be dragged at
any time, without choosing a layer or a tool.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from napari.components import ViewerModel
from napari.layers import Image, Shapes
from qtpy.QtCore import QTimer

from napari_rsna_inpaint._qt.layers import geometry, layer_volume
from napari_rsna_inpaint._qt.navigation import scrolled_axis
from napari_rsna_inpaint._qt.shown import is_drawing, same_study, shown_ct
from napari_rsna_inpaint._qt.slab import shown_slab
from napari_rsna_inpaint.roi import Outline, roi_values

Tool = Literal["line", "ellipse", "rectangle", "polygon"]

RULER = "Ruler"
ROI = "ROI"
_PLANES = ("", " coronal", " sagittal")
_COLOUR = "#ffd180"
_LINE_MM = 0.7
_REACH_PX = 8.0
_LEFT_BUTTON = 1
# napari shows an ellipse where the integer part of its place across the plane is that of the
# slice; without this, rounding errors would hide one now and then.
_WITHIN_SLICE = 0.25
_HINTS: dict[Tool, str] = {
    "line": "Ruler: drag from one end to the other.",
    "ellipse": "Elliptical region: drag from corner to corner.",
    "rectangle": "Rectangular region: drag from corner to corner.",
    "polygon": "Polygonal region: click the corners, double-click the last one.",
}


def begin(viewer: ViewerModel, tool: Tool) -> None:
    """Let the next shape that is drawn on the shown CT be measured."""
    ct, axis = shown_ct(viewer), scrolled_axis(viewer)
    if ct is None or axis is None:
        viewer.status = "Open a CT study first, and show it in 2-D."
        return
    layer = _layer(viewer, ct, (RULER if tool == "line" else ROI) + _PLANES[axis], axis)
    viewer.layers.selection.active = layer
    layer.mode = f"add_{tool}"
    viewer.status = _HINTS[tool]


def clear(viewer: ViewerModel) -> None:
    """Remove all measurements of the shown study."""
    ct = shown_ct(viewer)
    for layer in list(viewer.layers):
        if ct is not None and _is_measurement(layer) and same_study(layer, ct):
            viewer.layers.remove(layer)


def length_mm(ct: Image, ends: npt.NDArray[np.float64]) -> float:
    """Distance in the patient of two world positions ``(2, 3)``."""
    volume = layer_volume(ct)
    assert volume is not None
    first, last = (volume.to_patient(ct.world_to_data(end)) for end in ends)
    return float(np.linalg.norm(last - first))


def roi_text(
    viewer: ViewerModel, ct: Image, kind: Outline, corners: npt.NDArray[np.float64]
) -> str:
    """Values inside an outline given by world positions ``(n, 3)`` in one shown plane."""
    volume = layer_volume(ct)
    assert volume is not None
    index = np.array([ct.world_to_data(corner) for corner in corners])
    hidden = int(np.ptp(index, axis=0).argmin())
    shown = [axis for axis in range(3) if axis != hidden]
    number = round(float(index[:, hidden].mean()))
    if not 0 <= number < volume.hu.shape[hidden]:
        return ""
    plane = shown_slab(viewer, ct).plane(volume.hu, hidden, number)
    sides = volume.affine[:3, shown].T
    values = roi_values(plane, kind, index[:, shown], float(np.linalg.norm(np.cross(*sides))))
    if values is None:
        return "no pixel inside"
    return (
        f"mean {values.mean:.1f}  SD {values.sd:.1f} HU\n"
        f"{values.minimum:.0f} to {values.maximum:.0f} HU\n"
        f"{values.area_mm2:.0f} mm²"
    )


def _layer(viewer: ViewerModel, ct: Image, name: str, axis: int) -> Shapes:
    """Layer for measurements in planes across a world axis."""
    for layer in viewer.layers:
        if isinstance(layer, Shapes) and layer.name == name and same_study(layer, ct):
            return layer
    volume = layer_volume(ct)
    assert volume is not None
    # The two axes of the plane have one scale, or lines would be thicker in one direction; the
    # larger one, or the sliders of the viewer would get finer steps than the slices.
    steps = np.abs(ct.scale)
    in_plane = float(np.delete(steps, axis).max())
    scale = np.full(3, in_plane)
    scale[axis] = steps[axis]
    ends = [ct.data_to_world(end) for end in ((0, 0, 0), np.subtract(ct.data.shape, 1))]
    translate = np.min(ends, axis=0)
    translate[axis] -= _WITHIN_SLICE * scale[axis]
    layer = Shapes(
        name=name,
        ndim=3,
        edge_color=_COLOUR,
        face_color="transparent",
        edge_width=_LINE_MM / in_plane,
        opacity=1.0,
        features={"label": np.array([], dtype=object)},
        text={"string": "{label}", "size": 9, "color": _COLOUR, "anchor": "upper_left"},
        **geometry(volume) | {"scale": scale, "translate": translate},
    )
    viewer.layers.append(layer)

    def measure_all(_event: Any = None) -> None:
        if ct in viewer.layers and layer in viewer.layers:
            layer.features = {"label": _labels(viewer, ct, layer)}

    def on_data(event: Any) -> None:
        measure_all()
        if str(event.action) == "added" and layer.mode.startswith("add_"):
            # not within the event: the shape is not finished yet
            QTimer.singleShot(0, back_to_reading)

    def back_to_reading() -> None:
        layer.mode = "pan_zoom"
        if ct in viewer.layers:
            viewer.layers.selection.active = ct

    def while_dragging(_layer: Shapes, event: Any) -> Iterator[None]:
        # napari tells of a change only when it begins and when it is over
        yield
        while event.type == "mouse_move":
            measure_all()
            yield

    layer.events.data.connect(on_data)
    layer.mouse_drag_callbacks.append(while_dragging)
    if _drag_corner not in viewer.mouse_drag_callbacks:
        viewer.mouse_drag_callbacks.append(_drag_corner)
    viewer.dims.events.margin_right.connect(measure_all)
    return layer


def _drag_corner(viewer: ViewerModel, event: Any) -> Iterator[None]:
    """Move the corner of a measurement that the mouse takes hold of."""
    if event.button != _LEFT_BUTTON or event.modifiers or is_drawing(viewer):
        return
    held = _corner_at(viewer, np.array(event.position))
    if held is None:
        return
    layer, number, corner = held
    camera = viewer.scene.camera
    panned, camera.mouse_pan = camera.mouse_pan, False
    event.handled = True
    try:
        yield
        while event.type == "mouse_move":
            shapes = list(layer.data)
            place = np.array(layer.world_to_data(event.position))
            kind = layer.shape_type[number]
            shapes[number] = with_corner(kind, shapes[number], corner, place, scrolled_axis(viewer))
            layer.data = shapes
            event.handled = True
            yield
    finally:
        camera.mouse_pan = panned


def _corner_at(
    viewer: ViewerModel, position: npt.NDArray[np.float64]
) -> tuple[Shapes, int, int] | None:
    """Layer, number of the shape and number of its corner near a world position."""
    ct, axis = shown_ct(viewer), scrolled_axis(viewer)
    if ct is None or axis is None:
        return None
    reach = _REACH_PX / viewer.scene.camera.zoom
    nearest = None
    for layer in viewer.layers:
        if not (_is_measurement(layer) and layer.visible and same_study(layer, ct)):
            continue
        for number, shape in enumerate(layer.data):
            away = np.array([layer.data_to_world(corner) for corner in shape]) - position
            if np.abs(away[:, axis]).max() > abs(ct.scale[axis]) / 2:
                continue
            distances = np.linalg.norm(np.delete(away, axis, axis=1), axis=1)
            if distances.min() <= reach:
                reach = distances.min()
                nearest = layer, number, int(distances.argmin())
    return nearest


def with_corner(
    kind: str,
    corners: npt.NDArray[np.float64],
    moved: int,
    place: npt.NDArray[np.float64],
    axis: int | None,
) -> npt.NDArray[np.float64]:
    """Corners ``(n, 3)`` of a shape after one was moved; an upright box stays one.

    Parameters
    ----------
    kind
        Type of the shape as napari names it.
    corners
        As they were.
    moved
        Number of the corner that is moved.
    place
        ``(3,)`` where it goes.
    axis
        Axis across the plane, along which nothing moves.
    """
    place = place.copy()
    if axis is not None:
        place[axis] = corners[moved, axis]
    changed = corners.copy()
    changed[moved] = place
    if kind in ("rectangle", "ellipse"):
        opposite = corners[(moved + 2) % 4]
        for neighbour in ((moved + 1) % 4, (moved + 3) % 4):
            along = int(np.abs(corners[neighbour] - corners[moved]).argmax())
            changed[neighbour] = place
            changed[neighbour, along] = opposite[along]
    return changed


def _labels(viewer: ViewerModel, ct: Image, layer: Shapes) -> list[str]:
    labels = []
    for shape, kind in zip(layer.data, layer.shape_type, strict=True):
        world = np.array([layer.data_to_world(corner) for corner in shape])
        if kind == "line":
            labels.append(f"{length_mm(ct, world):.1f} mm")
        elif len(world) > 2:
            labels.append(roi_text(viewer, ct, kind, world))
        else:
            labels.append("")
    return labels


def _is_measurement(layer: Any) -> bool:
    return isinstance(layer, Shapes) and layer.name.startswith((RULER, ROI))
