"""What tells bleeds from look-alikes, measured on every region of a result.

Everything is in mm, ml and HU and taken from the scan, the result's images and its findings
alone, so that a stored result gives the same values as a fresh one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_rsna_inpaint.detection.filters import BONE_HU, DENSE_HU, RESIDUAL_CAP_HU, capped
from napari_rsna_inpaint.detection.result import Detection, Finding
from napari_rsna_inpaint.detection.symmetry import opposite
from napari_rsna_inpaint.volume import CTVolume

#: Goes up whenever a feature changes its meaning: models fitted on others are refused.
FEATURE_VERSION = 1

#: What is known of a region; `_Region` and `_Surroundings` say how.
FEATURES = (
    "prior",
    "log_volume",
    "log_area",
    "height_mm",
    "elongation",
    "flatness",
    "mean_hu",
    "highest_hu",
    "spread_hu",
    "mean_residual_hu",
    "spread_residual_hu",
    "scales",
    "contrast_hu",
    "ring_spread_hu",
    "ring_outside",
    "ring_fluid",
    "dense_nearby",
    "bone_mm",
    "below_top_mm",
    "midline_mm",
    "on_midline",
    "front_to_back",
    "log_brain_area",
    "opposite_residual_hu",
    "asymmetry_hu",
)

#: Scores are kept so far from 0 and 1 that their logit is finite.
SCORE_MARGIN = 1e-4
#: Regions are looked at on a lattice of about these steps, the resolution of the detector.
PIXEL_MM, SLICE_MM = 1.0, 2.5
#: The brain as a whole is looked at on a coarser one.
COARSE_MM = 4.0
#: Surroundings of a region: cropped with this margin, so bone is at most so far away.
MARGIN_MM = 15.0
#: Ring of tissue around a region, from its edge.
RING_MM = (1.5, 6.0)
#: Beyond this distance a region does not lie on the midline.
FALX_MM = 6.0
#: Tissue below is mostly fluid, HU.
FLUID_HU = 18.0
#: HU beyond these count as these: bone is bone, and air is air.
HU_LIMITS = (-50.0, 150.0)
#: Smallest volume and area told apart.
SMALLEST_ML, SMALLEST_MM2 = 0.01, 1.0

Box = tuple[slice, slice, slice]
BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float32]


def finding_features(volume: CTVolume, detection: Detection) -> dict[str, list[float]]:
    """Features of every region of a result, those below the operating point included.

    Parameters
    ----------
    volume
        The scan.
    detection
        Its result, fresh or read back.

    Returns
    -------
    dict
        Finding id to one float for each of `FEATURES`, NaN where it is not known.
    """
    found = [*detection.findings, *detection.further]
    if not found:
        return {}
    brain = _Brain.of(volume, detection)
    return {
        finding.id: _measure(volume, detection, brain, finding, label)
        for label, finding in enumerate(found, start=1)
    }


def logit(score: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Log odds of scores in 0 to 1."""
    p = np.clip(np.asarray(score, np.float64), SCORE_MARGIN, 1 - SCORE_MARGIN)
    return np.log(p / (1 - p))


@dataclass(frozen=True, eq=False)
class _Brain:
    """The brain as a whole, on a lattice of about `COARSE_MM` in the slices.

    Attributes
    ----------
    mask
        ``(z, y, x)``, in the order of the volume's slices.
    step
        Lattice steps along y and x, pixels of the volume.
    pixel_mm
        Size of a lattice pixel, mm.
    top_mm
        Position of the uppermost slice with brain along the normal; NaN in a single slice.
    mirror
        ``(2, 3)``: lattice pixel ``(1, y, x)`` to its mirror image ``(y, x)``.
    """

    mask: BoolArray
    step: tuple[int, int]
    pixel_mm: float
    top_mm: float
    mirror: npt.NDArray[np.float64]

    @classmethod
    def of(cls, volume: CTVolume, detection: Detection) -> _Brain:
        pixel = volume.spacing[1:]
        step = (max(1, round(COARSE_MM / pixel[0])), max(1, round(COARSE_MM / pixel[1])))
        mask = np.asarray(detection.maps.brain_mask[:, :: step[0], :: step[1]]).astype(bool)
        coarse_mm = step[0] * pixel[0]
        with_brain = np.flatnonzero(mask.any((1, 2)))
        heights = volume.slice_z_mm[with_brain]
        # heights grow with the slice number, which may run to the feet
        top = heights[0 if 0 in volume.canonical_flips else -1] if len(with_brain) > 1 else np.nan
        # the mirror image is linear in the position: three points tell it
        where = opposite(mask, coarse_mm).astype(np.float64)
        start = where[:, 0, 0]
        mirror = np.stack([start, where[:, 1, 0] - start, where[:, 0, 1] - start], 1)
        return cls(mask, step, coarse_mm, float(top), mirror)

    def opposite(self, yx: npt.NDArray) -> npt.NDArray[np.float64]:
        """Where pixels ``(n, 2)`` of the volume have their mirror images, ``(n, 2)``."""
        lattice = yx / self.step
        return (self.mirror[:, 0] + lattice @ self.mirror[:, 1:].T) * self.step


def _measure(
    volume: CTVolume, detection: Detection, brain: _Brain, finding: Finding, label: int
) -> list[float]:
    """The features of one region, in the order of `FEATURES`."""
    values = {
        "prior": float(logit(finding.score)),
        "log_volume": float(np.log(max(finding.volume_ml, SMALLEST_ML))),
        "log_area": float(np.log(max(finding.area_mm2, SMALLEST_MM2))),
        "mean_hu": float(np.clip(finding.mean_hu, *HU_LIMITS)),
        "mean_residual_hu": float(
            np.clip(finding.mean_residual_hu, -RESIDUAL_CAP_HU, RESIDUAL_CAP_HU)
        ),
        "scales": float(len(finding.scales)),
        **_position(volume, brain, finding),
        **_appearance(volume, detection, brain, finding, label),
    }
    return [values.get(name, np.nan) for name in FEATURES]


def _position(volume: CTVolume, brain: _Brain, finding: Finding) -> dict[str, float]:
    """Where a region lies in the brain; from its box and the brain of its middle slice."""
    z0, y0, x0, z1, y1, x1 = finding.bbox
    middle_z = (z0 + z1 - 1) // 2
    middle = np.array([[(y0 + y1 - 1) / 2, (x0 + x1 - 1) / 2]])
    height = float(volume.slice_extent_mm[z0:z1].sum())
    values = {
        "height_mm": height,
        "flatness": height / max(finding.area_mm2**0.5, 1.0),
        "below_top_mm": abs(brain.top_mm - float(volume.slice_z_mm[z0:z1].mean())),
    }
    mirrored = brain.opposite(middle)
    away = (middle - mirrored)[0] * volume.spacing[1:]
    values["midline_mm"] = float(np.hypot(*away)) / 2
    # the falx is thin: what counts is whether a region lies on it
    values["on_midline"] = float(np.exp(-((values["midline_mm"] / FALX_MM) ** 2)))
    plane = brain.mask[middle_z]
    rows = np.flatnonzero(plane.any(1)) * brain.step[0]
    if len(rows):
        values["log_brain_area"] = float(np.log(plane.sum() * brain.pixel_mm**2))
        along = (middle[0, 0] - rows[0]) / max(rows[-1] - rows[0], 1) * 2 - 1
        values["front_to_back"] = float(
            np.clip(-along if 1 in volume.canonical_flips else along, -1, 1)
        )
    return values


@dataclass(frozen=True, eq=False)
class _Lattice:
    """Voxels of the volume that are looked at: evenly spaced, around a region.

    ``planes``, ``rows`` and ``columns`` are slices of the volume's axes.
    """

    planes: slice
    rows: slice
    columns: slice
    spacing: tuple[float, float, float]

    @property
    def key(self) -> Box:
        return self.planes, self.rows, self.columns

    @classmethod
    def around(cls, volume: CTVolume, finding: Finding) -> _Lattice:
        """The box of a finding with `MARGIN_MM` around it in the slices, and a step above."""
        wanted = (SLICE_MM, PIXEL_MM, PIXEL_MM)
        steps = [max(1, round(w / mm)) for w, mm in zip(wanted, volume.spacing, strict=True)]
        z, y, x = (
            _side(finding.bbox[axis], finding.bbox[axis + 3], step, margin, length)
            for axis, (step, margin, length) in enumerate(
                zip(
                    steps,
                    (0.0, MARGIN_MM / volume.spacing[1], MARGIN_MM / volume.spacing[2]),
                    volume.hu.shape,
                    strict=True,
                )
            )
        )
        dz, dy, dx = (mm * step for mm, step in zip(volume.spacing, steps, strict=True))
        return cls(z, y, x, (dz, dy, dx))


def _side(first: int, stop: int, step: int, margin: float, length: int) -> slice:
    """From ``first`` to ``stop`` in steps, and at least one step or ``margin`` beyond both.

    The start lies whole steps away from ``first``, so that this one is looked at.
    """
    away = max(1, round(margin / step)) * step
    return slice(first - min(away, first // step * step), min(stop + away, length), step)


def _appearance(
    volume: CTVolume, detection: Detection, brain: _Brain, finding: Finding, label: int
) -> dict[str, float]:
    """What a region and its surroundings look like; nothing where the lattice misses it."""
    maps = detection.maps
    lattice = _Lattice.around(volume, finding)
    part = np.asarray(maps.labels[lattice.key]) == label
    if not part.any():
        return {}
    hu = _finite(volume.hu[lattice.key])
    residual = capped(np.asarray(maps.residual[lattice.key], np.float32))
    inside = np.asarray(maps.brain_mask[lattice.key]).astype(bool)
    clipped = np.clip(hu, *HU_LIMITS)
    own, own_residual = clipped[part], residual[part]
    values = {
        "elongation": _elongation(part, lattice.spacing),
        "highest_hu": float(np.quantile(own, 0.98)),
        "spread_hu": float(own.std()),
        "spread_residual_hu": float(own_residual.std()),
    }
    away = _distance(~part, lattice.spacing)
    ring = (away > RING_MM[0]) & (away <= RING_MM[1])
    tissue = ring & inside
    if ring.any():
        values["ring_outside"] = 1 - float(tissue.sum() / ring.sum())
    if tissue.any():
        values["contrast_hu"] = float(own.mean() - clipped[tissue].mean())
        values["ring_fluid"] = float((hu[tissue] < FLUID_HU).mean())
        # streaks are bright and dark side by side
        values["ring_spread_hu"] = float(residual[tissue].std())
    near = (away <= RING_MM[0] * 2) & inside
    values["dense_nearby"] = float((hu[near] > DENSE_HU).mean())
    bone = (hu > BONE_HU) & ~inside
    values["bone_mm"] = min(float(np.median(_distance(~bone, lattice.spacing)[part])), MARGIN_MM)
    return values | _other_side(volume, detection, brain, lattice, part, own, own_residual)


def _other_side(
    volume: CTVolume,
    detection: Detection,
    brain: _Brain,
    lattice: _Lattice,
    part: BoolArray,
    own: FloatArray,
    own_residual: FloatArray,
) -> dict[str, float]:
    """Residual of the mirror image, and how much denser the region is than that."""
    z, y, x = np.nonzero(part)
    here = np.stack(
        [
            y * lattice.rows.step + lattice.rows.start,
            x * lattice.columns.step + lattice.columns.start,
        ],
        1,
    )
    there = np.rint(brain.opposite(here)).astype(int)
    size = volume.hu.shape[1:]
    known = ((there >= 0) & (there < size)).all(1)
    if not known.any():
        return {}
    z, there = z[known], there[known]
    low, high = there.min(0), there.max(0) + 1
    key = (lattice.planes, slice(int(low[0]), int(high[0])), slice(int(low[1]), int(high[1])))
    index = (z, *(there - low).T)
    in_brain = np.asarray(detection.maps.brain_mask[key]).astype(bool)[index]
    if not in_brain.any():
        return {}
    hu = np.clip(_finite(volume.hu[key][index][in_brain]), *HU_LIMITS)
    residual = capped(np.asarray(detection.maps.residual[key], np.float32)[index][in_brain])
    return {
        "opposite_residual_hu": float(residual.mean()),
        "asymmetry_hu": float(own.mean() - hu.mean()),
    }


def _elongation(part: BoolArray, spacing: tuple[float, float, float]) -> float:
    """1 for a disc, large for a thin line; in the slice where a region is largest."""
    plane = np.pad(part[part.sum((1, 2)).argmax()], 1)
    radius = _distance(plane, spacing[1:]).max()
    return float(plane.sum() * spacing[1] * spacing[2] / (np.pi * radius**2))


def _distance(away: BoolArray, spacing: tuple[float, ...]) -> npt.NDArray[np.float64]:
    """Distance of every True voxel to the nearest False one, mm; infinite without any."""
    if away.all():
        return np.full(away.shape, np.inf)
    return ndimage.distance_transform_edt(away, sampling=spacing)


def _finite(hu: npt.NDArray) -> npt.NDArray[np.float32]:
    return np.nan_to_num(hu.astype(np.float32), nan=-1024.0, posinf=-1024.0, neginf=-1024.0)
