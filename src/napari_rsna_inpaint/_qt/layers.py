"""How volumes and results become napari layers: names, geometry, colours, limits.

The world axes are inferior, posterior, left in mm, so that in every plane the head is up
and, seen from the feet as usual, the right side of the patient is on the left of the
screen. The arrays themselves are never flipped; a negative scale does it. Shear (gantry
tilt) and uneven gaps are shown as if there were none; the true geometry stays with the
volume in the metadata, where detection and writers find it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from napari.layers import Layer
from napari.utils.colormaps import Colormap, DirectLabelColormap

from napari_rsna_inpaint.detection.result import (
    HEATMAP_LIMITS,
    RESIDUAL_LIMITS_HU,
    Detection,
    Finding,
)
from napari_rsna_inpaint.volume import Array, CTVolume

LayerData = tuple[Array, dict[str, Any], str]

BRAIN_WINDOW_HU = (0.0, 80.0)
FULL_RANGE_HU = (-1024.0, 3071.0)
RESULT_NAMES = ("Brain mask", "Inpainted", "Residual", "Heatmap", "Findings")

# Where the patient's axes (LPS) lead, backwards and forwards.
_PATIENT_LETTERS = (("R", "L"), ("A", "P"), ("F", "H"))
_OBLIQUE_DEG = 20.0
_KEY = "rsna_inpaint_volume"


def _heat() -> Colormap:
    """Dark red to yellow; nothing is tinted where nothing is found."""
    stops = np.array(
        [[0.2, 0.0, 0.1, 0.0], [0.6, 0.0, 0.1, 0.6], [1.0, 0.4, 0.0, 0.9], [1.0, 0.85, 0.3, 0.9]]
    )
    return Colormap(stops, name="anomaly", display_name="anomaly")


def _diverging() -> Colormap:
    """Blue: darker than the healthy completion; red: brighter; clear: the same."""
    stops = np.array(
        [
            [0.3, 0.75, 1, 1],
            [0.1, 0.35, 0.9, 0.7],
            [0, 0, 0, 0],
            [0.9, 0.3, 0.1, 0.7],
            [1, 0.8, 0.4, 1],
        ]
    )
    return Colormap(stops, name="residual", display_name="residual")


def geometry(volume: CTVolume) -> dict[str, Any]:
    """Scale, translation, units and axis labels shared by every layer of a volume."""
    lps_of_axis = (2, 1, 0)
    signs = [-1.0 if axis in volume.canonical_flips else 1.0 for axis in range(3)]
    scale = np.array(volume.spacing) * signs * (-1, 1, 1)
    middle = (np.array(volume.hu.shape) - 1) / 2
    centre = volume.to_patient(middle)[list(lps_of_axis)] * (-1, 1, 1)
    return {
        "scale": tuple(scale),
        "translate": tuple(centre - middle * scale),
        "units": ("mm", "mm", "mm"),
        "axis_labels": ("axial", "coronal", "sagittal"),
        "metadata": {_KEY: volume},
    }


def end_letters(volume: CTVolume) -> list[tuple[str, str]]:
    """Sides of the patient at the low and the high end of each world axis.

    Taken from the direction of the affine. Where that is more than 20 degrees off the
    patient's axis, a small letter says to which side: ``"Ah"`` is anterior, tilted to the head.
    """
    steps = volume.affine[:3, :3] / np.linalg.norm(volume.affine[:3, :3], axis=0)
    signs = [-1.0 if axis in volume.canonical_flips else 1.0 for axis in range(3)]
    directions = (steps * signs * (-1, 1, 1)).T
    return [(_side_of_patient(-direction), _side_of_patient(direction)) for direction in directions]


def _side_of_patient(direction: npt.NDArray[np.float64]) -> str:
    first, second, _ = np.argsort(-np.abs(direction))
    letter, small = (_PATIENT_LETTERS[axis][int(direction[axis] > 0)] for axis in (first, second))
    tilted = abs(direction[second]) > np.sin(np.deg2rad(_OBLIQUE_DEG))
    return letter + small.lower() if tilted else letter


def layer_volume(layer: Layer | None) -> CTVolume | None:
    """Return the volume a layer belongs to, or None if it is not one of ours."""
    return None if layer is None else layer.metadata.get(_KEY)


def metadata_volume(metadata: dict[str, Any]) -> CTVolume | None:
    """Return the volume stashed in the metadata that a writer receives."""
    return metadata.get(_KEY)


def is_ct(layer: Layer) -> bool:
    """Tell whether a layer still shows the values of its volume."""
    volume = layer_volume(layer)
    # As long as nothing is inpainted, that layer shows the values of the volume, too.
    ours = layer.name.startswith(RESULT_NAMES)
    return volume is not None and layer.data is volume.hu and not ours


def ct_layer(volume: CTVolume) -> LayerData:
    """Show the CT in the brain window."""
    options = {
        "name": "CT",
        "colormap": "gray",
        "contrast_limits": BRAIN_WINDOW_HU,
        "interpolation2d": "linear",
        **geometry(volume),
    }
    return volume.hu, options, "image"


def running_layers(volume: CTVolume) -> list[LayerData]:
    """Layers of a detection that has no result yet: nothing is inpainted, nothing differs."""
    nothing = np.broadcast_to(np.float32(0), volume.hu.shape)
    return [
        _inpainted(volume, volume.hu),
        _residual(volume, nothing),
        _heatmap(volume, nothing),
    ]


def _inpainted(volume: CTVolume, array: Array) -> LayerData:
    options = {
        "name": "Inpainted",
        "colormap": "gray",
        "contrast_limits": BRAIN_WINDOW_HU,
        "interpolation2d": "linear",
        "visible": False,
        **geometry(volume),
    }
    return array, options, "image"


def _residual(volume: CTVolume, array: Array) -> LayerData:
    options = {
        "name": "Residual",
        "colormap": _diverging(),
        "contrast_limits": RESIDUAL_LIMITS_HU,
        "blending": "translucent_no_depth",
        "visible": False,
        **geometry(volume),
    }
    return array, options, "image"


def _heatmap(volume: CTVolume, array: Array) -> LayerData:
    options = {
        "name": "Heatmap",
        "colormap": _heat(),
        "contrast_limits": HEATMAP_LIMITS,
        "blending": "translucent_no_depth",
        "opacity": 0.35,
        "interpolation2d": "linear",
        **geometry(volume),
    }
    return array, options, "image"


def mask_layer(volume: CTVolume, mask: Array) -> LayerData:
    """Show the brain mask as an outline."""
    colours = {0: "transparent", 1: "#80cbc4", None: "transparent"}
    options = {
        "name": "Brain mask",
        "colormap": DirectLabelColormap(color_dict=colours),
        "opacity": 0.5,
        "visible": False,
        **geometry(volume),
    }
    return mask.astype(np.uint8), options, "labels"


def findings_layer(volume: CTVolume, labels: Array) -> LayerData:
    """Show findings as outlines; their colours follow what is decided (see `findings_view`)."""
    options = {
        "name": "Findings",
        "colormap": DirectLabelColormap(color_dict={0: "transparent", None: "transparent"}),
        "opacity": 0.9,
        **geometry(volume),
    }
    return labels, options, "labels"


def side(finding: Finding, detection: Detection, volume: CTVolume) -> str:
    """Side of the patient: ``right``, ``left``, or ``middle`` within 5 mm of the brain's."""
    first, last = finding.slices
    images = detection if detection.fits_memory else detection.maps
    inside = np.argwhere(images.brain_mask[first : last + 1]) + np.array([first, 0, 0])
    middle = volume.to_patient(inside.mean(axis=0))[0] if len(inside) else 0.0
    offset = finding.centroid_mm[0] - middle
    if abs(offset) < 5:
        return "middle"
    return "left" if offset > 0 else "right"
