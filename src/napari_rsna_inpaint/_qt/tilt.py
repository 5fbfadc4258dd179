"""Gantry tilt taken out of views across the slices.

The main view shows the slices as stored, one exactly above the other (see `layers`). Across
the slices of a tilted series that would show a slanted head.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_rsna_inpaint._qt.layers import end_letters, geometry
from napari_rsna_inpaint.volume import CTVolume

_SHEAR_DEG = 0.5

# Sides of the patient at the low and the high end of each world axis, if nothing is oblique.
_STRAIGHT = [("H", "F"), ("A", "P"), ("R", "L")]


def _is_tilted(volume: CTVolume) -> bool:
    """Whether the slices are shifted against each other, as with gantry tilt."""
    steps = volume.affine[:3, :3] / np.linalg.norm(volume.affine[:3, :3], axis=0)
    return bool(np.abs(steps.T @ steps - np.eye(3)).max() > np.sin(np.deg2rad(_SHEAR_DEG)))


def upright(volume: CTVolume | None, hidden: int) -> npt.NDArray[np.float64]:
    """Where the points of a plane of the main world truly lie.

    Parameters
    ----------
    volume
        The series, or None.
    hidden
        World axis across the plane; places along it stay as they are.

    Returns
    -------
    ndarray
        ``(4, 4)`` from the main world (inferior, posterior, left in mm, without tilt) to one
        with the same axes and centre in which the plane is as in the patient; the identity
        without tilt.
    """
    matrix = np.eye(4)
    if volume is None or not _is_tilted(volume):
        return matrix
    shown = geometry(volume)
    # LPS columns of the affine in the order and direction of the world axes.
    steps = volume.affine[[2, 1, 0], :3] * np.array([[-1.0], [1.0], [1.0]])
    matrix[:3, :3] = steps / shown["scale"]
    matrix[hidden, :3] = matrix[:3, hidden] = 0
    matrix[hidden, hidden] = 1
    middle = (np.array(volume.hu.shape) - 1) / 2 * shown["scale"] + shown["translate"]
    matrix[:3, 3] = middle - matrix[:3, :3] @ middle
    return matrix


def upright_letters(volume: CTVolume) -> list[tuple[str, str]]:
    """Sides of the patient at the ends of the axes of that world, as `end_letters`."""
    return _STRAIGHT if _is_tilted(volume) else end_letters(volume)
