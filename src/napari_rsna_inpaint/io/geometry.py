"""Where slices lie: order along the normal, gaps, tilt, and the affine."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from napari_rsna_inpaint.volume import Note

GAP_TOLERANCE_MM = 0.02
GAP_TOLERANCE = 0.01
SAME_POSITION_MM = 0.01
TILT_TOLERANCE_DEG = 0.1
MAX_OBLIQUE_DEG = 45.0
_OBLIQUE_DEG = 1.0
_STRAY_MM = 0.1

Array = npt.NDArray[np.float64]


def normal_of(orientation: Array) -> Array:
    """Return the unit slice normal ``cross(row direction, column direction)`` in LPS.

    Parameters
    ----------
    orientation
        ``(6,)`` direction of increasing column index, then of increasing row index.
    """
    normal = np.cross(orientation[:3], orientation[3:])
    return normal / np.linalg.norm(normal)


def is_orthonormal(orientation: Array) -> bool:
    """Whether the two in-plane directions are unit vectors at a right angle."""
    row, column = orientation[:3], orientation[3:]
    lengths = np.linalg.norm([row, column], axis=1)
    return bool(np.abs(lengths - 1).max() < 1e-2 and abs(row @ column) < 1e-2)


def same_orientation(first: Array, second: Array) -> bool:
    """Whether two orientations agree within 1e-3 in every component."""
    return bool(np.abs(first - second).max() < 1e-3)


def degrees_between(first: Array, second: Array) -> float:
    """Angle between two lines (not directed), 0 to 90 degrees."""
    sine = np.linalg.norm(np.cross(first, second))
    return float(np.degrees(np.arctan2(sine, abs(first @ second))))


def oblique_degrees(orientation: Array) -> float:
    """Angle between the slice normal and the head-foot axis."""
    return degrees_between(normal_of(orientation), np.array([0.0, 0.0, 1.0]))


def affine_of(
    positions: Array, orientation: Array, spacing: tuple[float, float], thickness: float
) -> Array:
    """Affine from ``(z, y, x)`` indices to LPS mm.

    Parameters
    ----------
    positions
        ``(n, 3)`` LPS mm, sorted along the normal.
    orientation
        ``(6,)`` in-plane directions as in the DICOM header.
    spacing
        Distance between rows, then between columns, mm.
    thickness
        Step of a single slice, mm.

    Returns
    -------
    ndarray
        ``(4, 4)``; the first column is the mean step, with any gantry tilt as shear.
    """
    affine = np.eye(4)
    if len(positions) > 1:
        affine[:3, 0] = (positions[-1] - positions[0]) / (len(positions) - 1)
    else:
        affine[:3, 0] = normal_of(orientation) * thickness
    affine[:3, 1] = orientation[3:] * spacing[0]
    affine[:3, 2] = orientation[:3] * spacing[1]
    affine[:3, 3] = positions[0]
    return affine


def geometry_notes(positions: Array, orientation: Array) -> list[Note]:
    """Describe tilt, obliqueness, gaps and strays of sorted slice positions.

    Parameters
    ----------
    positions
        ``(n, 3)`` LPS mm, sorted along the normal.
    orientation
        ``(6,)`` in-plane directions.
    """
    notes: list[Note] = []
    normal = normal_of(orientation)
    oblique = oblique_degrees(orientation)
    tilt = 0.0
    if len(positions) > 1:
        tilt = degrees_between(normal, positions[-1] - positions[0])
    if tilt > TILT_TOLERANCE_DEG:
        notes.append(
            Note(
                "gantry-tilt",
                f"Gantry tilt {tilt:.1f} degrees: the slices are sheared; "
                "positions and volumes take it into account.",
            )
        )
    if oblique - tilt > _OBLIQUE_DEG:
        notes.append(
            Note("oblique", f"The slices are oblique by {oblique:.1f} degrees to the axial plane.")
        )
    if len(positions) > 2:
        notes += _gap_notes(positions @ normal)
        z = positions @ normal
        share = ((z - z[0]) / (z[-1] - z[0]))[:, None]
        along = positions[0] + share * (positions[-1] - positions[0])
        stray = float(np.linalg.norm(positions - along, axis=1).max())
        if stray > _STRAY_MM:
            notes.append(
                Note("slices-shifted", f"Slices are shifted sideways by up to {stray:.2f} mm.")
            )
    return notes


def _gap_notes(z: Array) -> list[Note]:
    """Describe missing slices and uneven spacing of increasing positions ``(n,)`` mm."""
    gaps = np.diff(z)
    # The lower one of the two middle gaps: a gap of 10 mm beside one of 5 mm is a lost slice.
    median = float(np.sort(gaps)[(len(gaps) - 1) // 2])
    tolerance = max(GAP_TOLERANCE_MM, GAP_TOLERANCE * median)
    multiples = np.round(gaps / median)
    missing = (multiples >= 2) & (np.abs(gaps - multiples * median) <= 5 * tolerance)
    # Many doubled gaps are a protocol with two spacings, not lost slices.
    if missing.sum() > max(2, 0.2 * len(gaps)):
        missing[:] = False
    notes = []
    if missing.any():
        lost = int((multiples[missing] - 1).sum())
        places = ", ".join(
            f"z={z[i]:.1f} to {z[i + 1]:.1f} mm" for i in np.flatnonzero(missing)[:4]
        )
        notes.append(
            Note(
                "missing-slices",
                f"{lost} of {len(z) + lost} slices missing ({places}; usual gap {median:.2f} mm); "
                "the gap is left empty.",
            )
        )
    rest = gaps[~missing]
    if np.abs(rest - median).max() > tolerance:
        notes.append(
            Note(
                "uneven-spacing",
                f"Slice spacing is uneven: {rest.min():.2f} to {rest.max():.2f} mm "
                f"(median {median:.2f} mm); each slice keeps its own position.",
            )
        )
    return notes


def duplicates(z: Sequence[float]) -> list[list[int]]:
    """Group the indices of sorted positions (mm) that are the same place."""
    groups: list[list[int]] = []
    for index, value in enumerate(z):
        if groups and value - z[groups[-1][0]] <= SAME_POSITION_MM:
            groups[-1].append(index)
        else:
            groups.append([index])
    return groups
