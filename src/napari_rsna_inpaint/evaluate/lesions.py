"""Synthetic bleeds in real scans, for evaluation: known truth, realistic densities.

Densities and volumes are those of bleeds annotated in the BHSD data set (Wu et al. 2023),
as tabulated by FDA InSilicoICH. A real scan already holds the blur and the noise of its
scanner, so shapes are averaged over the thick slices and blurred like the scan, and the
noise found in the tissue they replace is kept. Mass effect is not simulated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.ndimage import binary_dilation, distance_transform_edt, gaussian_filter

from napari_rsna_inpaint.errors import InputRefused
from napari_rsna_inpaint.evaluate.lesion_shapes import (
    Blob,
    Dural,
    Placed,
    Point,
    Shape,
    read_shape,
    skull_depth,
)
from napari_rsna_inpaint.evaluate.lesion_site import BoolArray, Box, Frame, Site
from napari_rsna_inpaint.evaluate.lesion_texture import FloatArray, fractal, tissue
from napari_rsna_inpaint.evaluate.subtypes import SUBTYPES, Subtype
from napari_rsna_inpaint.volume import CTVolume

__all__ = [
    "SUBTYPES",
    "Lesion",
    "Shape",
    "Subtype",
    "draw_mean_hu",
    "draw_volume_ml",
    "insert_bleed",
    "read_shape",
]

HuSet = Literal["bhsd", "acute"]

#: Mean and standard deviation over lesions of the mean HU of a lesion.
HU: dict[HuSet, dict[Subtype, tuple[float, float]]] = {
    "bhsd": {
        "intraparenchymal": (47.5, 9.0),
        "intraventricular": (39.9, 9.3),
        "subarachnoid": (43.9, 8.2),
        "subdural": (50.3, 13.1),
        "epidural": (56.0, 10.5),
    },
    "acute": {
        "intraparenchymal": (62.0, 7.0),
        "intraventricular": (58.0, 8.0),
        "subarachnoid": (52.0, 7.0),
        "subdural": (62.0, 8.0),
        "epidural": (65.0, 7.0),
    },
}
HU_RANGE = (25.0, 90.0)
#: Median, 5 % quantile (BHSD) and the largest volume drawn, ml.
VOLUME_ML: dict[Subtype, tuple[float, float, float]] = {
    "intraparenchymal": (8.9, 0.4, 80.0),
    "intraventricular": (2.6, 0.2, 30.0),
    "subarachnoid": (1.0, 0.3, 20.0),
    "subdural": (6.3, 0.6, 100.0),
    "epidural": (13.6, 2.1, 100.0),
}
SMALLEST_ML = 0.1

_BINS = 1 << 14  # resolution of the search for a volume
_LAYER_MM = 1.5  # thickness of the layers that a slice is averaged from
_TRACE = 0.15  # voxels with less CSF stay free of blood
_RIM = 3.0  # oedema ends at so many widths
_BONE_HU = 70.0  # brain above is partly bone or calcified
_TISSUE_HU = 45.0  # healthy brain is hardly denser
_CSF_HU = 8.0
_BESIDE_CSF_HU = 28.0  # from here downwards a voxel is partly CSF
_BLOOD_HU = (20.0, 100.0)  # bounds of whole blood, however small its share of a voxel


@dataclass(frozen=True)
class Lesion:
    """What was inserted.

    Attributes
    ----------
    subtype
        Kind of bleed.
    volume_ml
        Volume of blood, partial voxels counted by their share.
    mean_hu
        Intended mean HU in the lesion mask, leaving out voxels over 70 HU before (partly
        bone or calcified).
    contrast_hu
        Mean change of HU in the lesion mask.
    slices
        Indices along z (storage order) that hold some of the lesion mask.
    """

    subtype: Subtype
    volume_ml: float
    mean_hu: float
    contrast_hu: float
    slices: tuple[int, ...]


@dataclass(frozen=True)
class _Stain:
    """Blood in a box: its share of each voxel and what it does besides being dense.

    HU change by ``base + share * blood``; ``base`` takes away the tissue replaced.
    """

    box: Box
    share: FloatArray
    base: FloatArray


def draw_volume_ml(rng: np.random.Generator, subtype: Subtype) -> float:
    """Draw a volume (ml) from the log-normal through median and 5 % quantile of BHSD."""
    median, low, largest = VOLUME_ML[subtype]
    spread = math.log(median / low) / 1.645
    return float(np.clip(rng.lognormal(math.log(median), spread), SMALLEST_ML, largest))


def draw_mean_hu(rng: np.random.Generator, subtype: Subtype, hu_set: HuSet = "bhsd") -> float:
    """Draw the mean HU of a bleed, between 25 and 90 HU."""
    return float(np.clip(rng.normal(*HU[hu_set][subtype]), *HU_RANGE))


def insert_bleed(
    volume: CTVolume,
    brain: BoolArray,
    rng: np.random.Generator,
    *,
    subtype: Subtype,
    hu_set: HuSet = "bhsd",
    volume_ml: float | None = None,
    shape: Shape | None = None,
) -> tuple[CTVolume, BoolArray, Lesion]:
    """Put one bleed into a scan.

    Parameters
    ----------
    volume
        Head CT.
    brain
        ``(z, y, x)`` bool on the grid of ``volume.hu``: brain and CSF. Nothing outside
        of it changes.
    rng
        Decides place, shape, density and texture. The same generator state gives the same
        bleed in the patient, whatever the storage order of the scan.
    subtype
        Kind of bleed. ``"subarachnoid"`` fills sulci and cisterns, ``"intraventricular"``
        the dependent part of the ventricles of a patient lying on the back.
    hu_set
        ``"bhsd"``: densities of BHSD; ``"acute"``: denser, as in text books.
    volume_ml
        Wanted volume; None draws one, or takes that of ``shape``. Less is inserted where
        the scan does not offer the room (CSF, above all).
    shape
        Real outline instead of a drawn one; only for ``"intraparenchymal"`` and
        ``"intraventricular"`` (then cut to the ventricles).

    Returns
    -------
    volume
        The scan with the bleed, same dtype.
    lesion_mask
        ``(z, y, x)`` bool on the same grid, True where at least half of a voxel is blood.
    lesion
        What was inserted.

    Raises
    ------
    InputRefused
        If the scan has no place for such a bleed, for example no visible ventricle.
    ValueError
        If ``shape`` is given with another subtype, or the mask has another shape.
    """
    if brain.shape != volume.hu.shape:
        raise ValueError(f"brain mask {brain.shape} is not on the grid {volume.hu.shape}")
    if shape is not None and subtype not in ("intraparenchymal", "intraventricular"):
        raise ValueError(f"a shape cannot be used for a {subtype} bleed")
    if not brain.any():
        raise _no_place(subtype)
    if volume_ml is None:
        volume_ml = draw_volume_ml(rng, subtype) if shape is None else shape.volume_ml
    mean_hu = draw_mean_hu(rng, subtype, hu_set)

    hu = volume.to_canonical(volume.hu)
    inside = volume.to_canonical(brain)
    frame = Frame.of(volume)
    site = Site.of(hu, inside, frame)
    if subtype in ("intraventricular", "subarachnoid"):
        stain = _fill_csf(hu, inside, frame, site, rng, subtype, volume_ml, shape)
    else:
        stain = _replace_tissue(hu, inside, frame, site, rng, subtype, volume_ml, shape)

    mask = stain.share >= 0.5
    old = hu[stain.box].astype(np.float32)
    if not (mask & (old < _BONE_HU)).any():
        raise _no_place(subtype)
    z, y, x = frame.coordinates(stain.box)
    # Slower across slices, so that neighbouring thick slices look alike.
    texture = rng.uniform(1, 4) * fractal(rng, (z / np.float32(3), y, x), 10.0)
    # Means of BHSD are of whole outlines, so partial voxels at the edge count.
    counted = mask & (old < _BONE_HU)
    rest = (old + stain.base + stain.share * texture)[counted].mean()
    blood = (mean_hu - rest) / stain.share[counted].mean()
    change = stain.base + stain.share * (np.clip(blood, *_BLOOD_HU) + texture)
    new = old + change
    if volume.hu.dtype.kind == "i":
        new = np.rint(new)
    edited = hu.copy()
    edited[stain.box] = np.where(change != 0, new, hu[stain.box])
    lesion_mask = np.zeros(hu.shape, bool)
    lesion_mask[stain.box] = mask
    lesion_mask = np.ascontiguousarray(volume.from_canonical(lesion_mask))
    lesion = Lesion(
        subtype=subtype,
        volume_ml=float((stain.share * frame.voxel_ml(stain.box)).sum()),
        mean_hu=mean_hu,
        contrast_hu=float((edited[stain.box] - old)[mask].mean()),
        slices=tuple(int(z) for z in np.flatnonzero(lesion_mask.any(axis=(1, 2)))),
    )
    bled = replace(volume, hu=np.ascontiguousarray(volume.from_canonical(edited)))
    return bled, lesion_mask, lesion


def _no_place(subtype: str) -> InputRefused:
    return InputRefused(
        f"The scan offers no place for the bleed ({subtype}). Choose another scan or another kind.",
        "no-place",
    )


def _replace_tissue(
    hu: npt.NDArray,
    brain: BoolArray,
    frame: Frame,
    site: Site,
    rng: np.random.Generator,
    subtype: Subtype,
    volume_ml: float,
    shape: Shape | None,
) -> _Stain:
    """Blood in place of tissue: in the brain, or between skull and brain."""
    form: Blob | Placed | Dural | None
    if subtype == "subdural" or subtype == "epidural":
        form = Dural.draw(rng, subtype, site, volume_ml)
        rim = 0.0
    else:
        centre = _deep_point(rng, site, volume_ml)
        form = centre and _parenchymal(rng, shape, centre, volume_ml)
        rim = rng.uniform(1, 5)
    if not form:
        raise _no_place(subtype)
    box = frame.box(form.centre, form.reach)
    layers = max(1, round(float(frame.thickness[box[0]].mean()) / _LAYER_MM))
    at = frame.coordinates(box, layers)
    if isinstance(form, Dural):
        depth = skull_depth(brain[box], at[0], layers, frame.step)
        field = form.field(at, depth, rng)
    else:
        field = form.field(at, rng)
    allowed = np.repeat(brain[box], layers, axis=0)
    weight = allowed * np.repeat(frame.voxel_ml(box) / layers, layers, axis=0)
    thin = _fill(field, weight, frame.step[0], volume_ml) * allowed
    share = thin.reshape(-1, layers, *thin.shape[1:]).mean(axis=1, dtype=np.float32)
    share = _blur(share, brain[box], frame, rng)

    wide = frame.box(form.centre, np.add(form.reach, _RIM * rim))
    wide_share = np.zeros([part.stop - part.start for part in wide], np.float32)
    offset = [part.start - whole.start for part, whole in zip(box, wide, strict=True)]
    wide_share[tuple(slice(o, o + n) for o, n in zip(offset, share.shape, strict=True))] = share
    # What is denser than brain is partial volume of bone or dura, which stays.
    under = np.minimum(tissue(hu[wide], frame.step), np.float32(_TISSUE_HU))
    base = -wide_share * under
    if rim:
        base += _oedema(wide_share, under, frame, rim, rng.uniform(18, 24)) * brain[wide]
    return _Stain(wide, wide_share, base)


def _deep_point(rng: np.random.Generator, site: Site, volume_ml: float) -> Point | None:
    """Draw a point of the brain at which most of a bleed fits."""
    radius = (volume_ml * 1000 * 3 / (4 * math.pi)) ** (1 / 3)
    parenchyma = (site.hu > 20) & (site.hu < 50)
    needed = min(0.9 * radius + 4, 0.7 * float(site.depth.max()))
    lateral = np.abs(site.x - site.middle[1]) > min(0.8 * radius + 3, 20)
    return site.draw(rng, parenchyma & lateral & (site.depth > needed))


def _parenchymal(
    rng: np.random.Generator, shape: Shape | None, centre: Point, volume_ml: float
) -> Blob | Placed:
    if shape is None:
        return Blob.draw(rng, centre, volume_ml)
    return Placed.draw(rng, shape, centre, volume_ml)


def _fill(field: FloatArray, weight: npt.NDArray, soft_mm: float, volume_ml: float) -> FloatArray:
    """Share (0-1) of blood where the field is highest, so that it holds a volume.

    Parameters
    ----------
    field
        Larger where blood comes first, mm.
    weight
        ml of room in each voxel.
    soft_mm
        Width of the edge.
    """
    use = weight > 0
    values = field[use]
    low, high = float(values.min()), float(values.max())
    width = max(high - low, 1e-6) / _BINS
    room = np.bincount(((values - low) / width).astype(np.int32), weights=weight[use])
    centres = low + (np.arange(len(room)) + 0.5) * width
    low, high = low - soft_mm, high + soft_mm
    while high - low > width:
        level = (low + high) / 2
        if (room * np.clip(0.5 + (centres - level) / soft_mm, 0, 1)).sum() > volume_ml:
            low = level
        else:
            high = level
    return np.clip(np.float32(0.5) + (field - np.float32(low)) / np.float32(soft_mm), 0, 1)


def _blur(
    share: FloatArray, brain: BoolArray, frame: Frame, rng: np.random.Generator
) -> FloatArray:
    """Point spread of the scanner in the slice; nothing leaks out of the brain."""
    sigma_mm = rng.uniform(0.45, 0.6)
    sigma = (0, *(sigma_mm / step for step in frame.step))
    room = gaussian_filter(brain.astype(np.float32), sigma)
    blurred = gaussian_filter(share, sigma) / np.maximum(room, 1e-3)
    return np.where(brain & (blurred > 0.004), np.minimum(blurred, 1), 0).astype(np.float32)


def _oedema(
    share: FloatArray, under: FloatArray, frame: Frame, width_mm: float, fluid_hu: float
) -> FloatArray:
    """Change of HU (never upwards) in the brain around a bleed, outside of its core.

    Falls off exponentially with the distance from the core and ends at ``_RIM`` widths.
    """
    spacing = (float(frame.thickness.mean()), *frame.step)
    distance = distance_transform_edt(share < 0.5, sampling=spacing)
    tail = math.exp(-_RIM)
    weight = np.maximum(np.exp(-distance / width_mm) - tail, 0) / (1 - tail)
    return ((1 - share) * weight * np.minimum(fluid_hu - under, 0)).astype(np.float32)


def _fill_csf(
    hu: npt.NDArray,
    brain: BoolArray,
    frame: Frame,
    site: Site,
    rng: np.random.Generator,
    subtype: Subtype,
    volume_ml: float,
    shape: Shape | None,
) -> _Stain:
    """Blood in place of CSF, so that the brain keeps its outline."""
    inside_ventricles = subtype == "intraventricular"
    place = (
        _ventricle_place(frame, site)
        if inside_ventricles
        else _sulcal_place(rng, frame, site, volume_ml)
    )
    if place is None:
        raise _no_place(subtype)
    centre, box = place
    at = frame.coordinates(box)
    if inside_ventricles:
        if shape is None:
            # Blood settles: the lower border is the wall, the upper one a level.
            field = at[1] + fractal(rng, at, 15)
        else:
            field = Placed.draw(rng, shape, centre, volume_ml).field(at, rng)
        room = np.minimum(2 * _soft(site.to_native(site.ventricles, box), frame), 1)
        gain, soft = 1.3, 1.5
    else:
        apart = [axis - np.float32(mid) for axis, mid in zip(at, centre, strict=True)]
        distance = np.sqrt(sum(np.square(part) for part in apart))
        field = -distance * (1 + np.float32(0.15) * fractal(rng, at, 25))
        room = 1 - np.minimum(2 * _soft(site.to_native(site.deep_csf, box), frame), 1)
        room *= np.clip((_sulcal_reach(volume_ml) - distance) / 5, 0, 1)
        gain, soft = 1.9, 4.0
    under = tissue(hu[box], frame.step)
    csf = np.clip((_BESIDE_CSF_HU - under) / (_BESIDE_CSF_HU - _CSF_HU), 0, 1) * room * brain[box]
    share = np.clip(gain * csf - _TRACE, 0, 1)
    if not share.any():
        raise _no_place(subtype)
    filled = _fill(field, share * frame.voxel_ml(box), soft, volume_ml)
    share = (share * filled).astype(np.float32)
    base = filled * np.maximum(_BESIDE_CSF_HU - under, 0) * (share > 0) - share * _BESIDE_CSF_HU
    return _Stain(box, share, base.astype(np.float32))


def _soft(mask: BoolArray, frame: Frame) -> FloatArray:
    """Smooth the edge, so that the border of ventricle and cistern is no straight line."""
    return gaussian_filter(mask.astype(np.float32), (0, *(2 / step for step in frame.step)))


def _ventricle_place(frame: Frame, site: Site) -> tuple[Point, Box] | None:
    """Dependent part and bounding box of the ventricles."""
    found = np.argwhere(site.ventricles)
    if len(found) == 0:
        return None
    first, last = site.point(found.min(axis=0)), site.point(found.max(axis=0))
    centre = np.add(first, last) / 2
    box = frame.box(centre, (np.subtract(last, first)) / 2 + (0, 6, 6))
    back = found[np.argsort(found[:, 1])][len(found) * 3 // 4 :]
    return site.point(back[len(back) // 2]), box


def _sulcal_place(
    rng: np.random.Generator, frame: Frame, site: Site, volume_ml: float
) -> tuple[Point, Box] | None:
    """Draw a point where CSF outside of the ventricles is plentiful."""
    csf = np.clip((_BESIDE_CSF_HU - site.hu) / 20, 0, 1) * (site.depth > 1) * (site.depth < 20)
    area = (site.depth > 0).sum(axis=(1, 2), keepdims=True)
    csf = csf * (area > 0.4 * area.max())
    csf = csf * ~binary_dilation(site.deep_csf, np.ones((1, 3, 3)), iterations=3)
    density = gaussian_filter(csf.astype(np.float32), (1, 4, 4)) * (csf > 0.4)
    centre = site.draw(rng, np.square(density))
    if centre is None:
        return None
    reach = _sulcal_reach(volume_ml)
    return centre, frame.box(centre, (reach, reach, reach))


def _sulcal_reach(volume_ml: float) -> float:
    """Largest distance (mm) that subarachnoid blood of a volume spreads from its seed."""
    return 15 + 25 * volume_ml ** (1 / 3)
