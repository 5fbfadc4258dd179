"""The part of a slice worth looking at: the head, not the air and the table around it."""

from __future__ import annotations

from itertools import product

import numpy as np
import numpy.typing as npt
from napari.layers import Image
from napari.viewer import Viewer
from scipy import ndimage

from napari_rsna_inpaint._qt.layers import layer_volume
from napari_rsna_inpaint.volume import CTVolume

#: Air is darker; skin, fat and hair are not.
_HEAD_HU = -300
#: Only every so many pixels are looked at.
_COARSE = 4
#: Part of the canvas that stays free around the head.
_MARGIN = 0.06

Box = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]


def head_box(volume: CTVolume) -> Box:
    """First and last index of the head along ``z``, ``y`` and ``x``: its largest connected part."""
    dense = volume.hu[:, ::_COARSE, ::_COARSE] > _HEAD_HU
    parts, n = ndimage.label(dense)
    if n == 0:
        z, y, x = ((0, size - 1) for size in volume.hu.shape)
        return z, y, x
    sizes = np.bincount(parts.ravel())[1:]
    largest = ndimage.find_objects(parts)[int(sizes.argmax())]
    depth, rows, columns = ((side.start, side.stop - 1) for side in largest)
    return (
        depth,
        (rows[0] * _COARSE, min(rows[1] * _COARSE + _COARSE, volume.hu.shape[1]) - 1),
        (columns[0] * _COARSE, min(columns[1] * _COARSE + _COARSE, volume.hu.shape[2]) - 1),
    )


def head_corners(volume: CTVolume, layer: Image) -> npt.NDArray[np.float64]:
    """Corners ``(8, 3)`` of the head in the world of a layer, mm."""
    return np.array([layer.data_to_world(corner) for corner in product(*head_box(volume))])


def fit_head(viewer: Viewer, layer: Image) -> None:
    """Let the head fill the canvas, in the plane that is shown."""
    volume = layer_volume(layer)
    if volume is None or viewer.dims.ndisplay != 2:
        viewer.reset_view()
        return
    corners = head_corners(volume, layer)
    low, high = corners.min(axis=0), corners.max(axis=0)
    shown = list(viewer.dims.displayed)
    size = np.maximum((high - low)[shown], 1.0)
    height, width = viewer.canvas.size
    camera = viewer.scene.camera
    camera.center = (0.0, *((low + high) / 2)[shown])
    camera.zoom = float((1 - _MARGIN) * min(height / size[0], width / size[1]))
