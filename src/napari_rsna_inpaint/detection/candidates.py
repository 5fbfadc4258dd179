"""Regions that may be a bleed, and what tells bleeds from healthy look-alikes.

A candidate is a connected part of one slice above one of several levels of evidence, so that
a bleed within a wide, faintly bright surrounding is a candidate as well.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_rsna_inpaint.detection.evidence import Evidence
from napari_rsna_inpaint.detection.filters import SMOOTHING_MM

#: Levels of ``Evidence.bright``, healthy spreads.
LEVELS = (1.5, 2.5, 4.0, 6.0)
#: Smaller regions are noise.
MIN_AREA_MM2 = 12.0
#: Slices with less brain have no candidates.
MIN_BRAIN_MM2 = 300.0
#: How far a region may move from slice to slice, or from side to side, mm.
REACH_MM = 2.0
#: HU above count as this in ``brightest_hu``: calcification is calcification.
BRIGHTEST_HU = 150.0

#: What is known of a candidate; `_measure` says how.
FEATURES = (
    "log_area",
    "z_residual",
    "z_hu",
    "residual_hu",
    "hu",
    "elongation",
    "opposite_side",
    "neighbour_slices",
    "brightest_hu",
    "log_brain_area",
    "below_top_mm",
)

FloatArray = npt.NDArray[np.float32]
Box = tuple[slice, slice]


@dataclass(frozen=True, eq=False)
class Candidate:
    """One region of one slice.

    ``part`` is a bool mask of ``box`` (``(y, x)`` slices of the model grid); ``features`` has
    one float for each of ``FEATURES``, NaN where it is not known.
    """

    box: Box
    part: npt.NDArray[np.bool_]
    features: npt.NDArray[np.float64]


def find_candidates(
    evidence: Evidence,
    neighbours: list[Evidence],
    opposite: FloatArray,
    below_top_mm: float,
    pixel_mm: float,
) -> list[Candidate]:
    """All candidates of one slice with their features.

    Parameters
    ----------
    neighbours
        The slices below and above, as far as there are any.
    opposite
        ``(2, y, x)``, see `symmetry.opposite`.
    below_top_mm
        Distance of the slice from the uppermost one with brain; NaN if that is unknown.
    """
    brain_mm2 = evidence.brain.sum() * pixel_mm**2
    if brain_mm2 < MIN_BRAIN_MM2 or evidence.bright.max() <= LEVELS[0]:
        return []
    reach = 2 * round(REACH_MM / pixel_mm) + 1
    mirrored = ndimage.map_coordinates(
        np.maximum(evidence.z_residual, 0), opposite, order=1, output=np.float32
    )
    mirrored = ndimage.gaussian_filter(mirrored, SMOOTHING_MM / pixel_mm)
    mirrored = ndimage.maximum_filter(mirrored, reach)
    nearby = [ndimage.maximum_filter(one.bright, reach) for one in neighbours]
    support = np.maximum.reduce(nearby) if nearby else None
    found = []
    for level in LEVELS:
        parts, n = ndimage.label(evidence.bright > level, np.ones((3, 3)))
        for number, tight in enumerate(ndimage.find_objects(parts, n), start=1):
            box: Box = tuple(slice(max(s.start - 1, 0), s.stop + 1) for s in tight)  # type: ignore[assignment]
            part = parts[box] == number
            if part.sum() * pixel_mm**2 < MIN_AREA_MM2:
                continue
            features = _measure(evidence, mirrored, support, box, part, pixel_mm)
            found.append(
                Candidate(box, part, np.array([*features, np.log(brain_mm2), below_top_mm]))
            )
    return found


def _measure(
    evidence: Evidence,
    mirrored: FloatArray,
    support: FloatArray | None,
    box: Box,
    part: npt.NDArray[np.bool_],
    pixel_mm: float,
) -> tuple[float, ...]:
    """The features of one region, in the order of ``FEATURES``, without the slice's own."""
    area = part.sum()
    radius = ndimage.distance_transform_edt(part).max()
    return (
        np.log(area * pixel_mm**2),
        evidence.z_residual[box][part].mean(),
        evidence.z_hu[box][part].mean(),
        evidence.residual[box][part].mean(),
        evidence.hu[box][part].mean(),
        # 1 for a disc, large for a thin line
        area / (np.pi * radius**2),
        # a sinus, the tentorium or the choroid plexus has a twin on the other side
        mirrored[box][part].mean(),
        # noise and streaks end with the slice
        np.nan if support is None else support[box][part].max(),
        min(evidence.image[box][part].max(), BRIGHTEST_HU),
    )
