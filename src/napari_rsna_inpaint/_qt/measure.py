"""Rulers in mm and regions with their HU, drawn on the shown CT.

napari's own measurements are in pixels; these take positions and areas from the volume, so that
they are true also with gantry tilt and uneven gaps, in all three planes.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from napari.components import ViewerModel
from napari.layers import Image, Shapes
from qtpy.QtCore import QTimer

from napari_rsna_inpaint._qt.layers import geometry, layer_volume
from napari_rsna_inpaint._qt.shown import same_study, shown_ct
from napari_rsna_inpaint._qt.slab import shown_slab
from napari_rsna_inpaint.roi import Outline, roi_values

Tool = Literal["line", "ellipse", "rectangle", "polygon"]

RULER = "Ruler"
ROI = "ROI"
_COLOUR = "#ffd180"
_HINTS: dict[Tool, str] = {
    "line": "Ruler: drag from one end to the other.",
    "ellipse": "Elliptical region: drag from corner to corner.",
    "rectangle": "Rectangular region: drag from corner to corner.",
    "polygon": "Polygonal region: click the corners, double-click the last one.",
}


def begin(viewer: ViewerModel, tool: Tool) -> None:
    """Let the next shape that is drawn on the shown CT be measured."""
    ct = shown_ct(viewer)
    if ct is None:
        viewer.status = "Open a CT study first."
        return
    layer = _layer(viewer, ct, RULER if tool == "line" else ROI)
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


def _layer(viewer: ViewerModel, ct: Image, name: str) -> Shapes:
    for layer in viewer.layers:
        if isinstance(layer, Shapes) and layer.name == name and same_study(layer, ct):
            return layer
    volume = layer_volume(ct)
    assert volume is not None
    # One scale for all axes, or lines would be drawn thick in one direction; the largest, or
    # the sliders of the viewer would get finer steps than the slices.
    layer = Shapes(
        name=name,
        ndim=3,
        edge_color=_COLOUR,
        face_color="transparent",
        edge_width=0.15,
        opacity=1.0,
        features={"label": np.array([], dtype=object)},
        text={"string": "{label}", "size": 9, "color": _COLOUR, "anchor": "upper_left"},
        **geometry(volume) | {"scale": (max(volume.spacing),) * 3, "translate": ct.translate},
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

    layer.events.data.connect(on_data)
    viewer.dims.events.margin_right.connect(measure_all)
    return layer


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
    return isinstance(layer, Shapes) and layer.name in (RULER, ROI)
