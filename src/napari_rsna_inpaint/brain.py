"""Brain mask: the intracranial space (brain, CSF, blood) up to the inner table.

Only thresholds, distances and connected components; no weights. The search runs on a
grid of about 1 mm in the slice and at least 2.5 mm across it; the border is then drawn
again on the native slices.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_rsna_inpaint.errors import Cancelled
from napari_rsna_inpaint.volume import CTVolume

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float32]

WORK_MM = 1.0  # in-plane size of the working grid
SLAB_MM = 2.5  # thin slices are averaged up to this thickness
RAY_MM = 2.0  # in-plane size of the grid on which directions are searched for bone
N_RAYS = 32

BONE_HU = 130.0  # bone on the working grid; clotted blood stays below about 100 HU
EDGE_HU = 100.0  # partial volume of the inner table begins here
FAT_HU = -25.0  # below: fat and air
AIR_HU = -150.0  # below: air, or mixed with it

BODY_HU = -300.0  # patient against air
METAL_HU = 2600.0  # implants, above any bone of the skull

CORE_MM = 5.0  # half width of the narrowest passage through which the core may grow
CORE_ENCLOSED = 0.72  # share of directions in which the core meets bone
HULL_ENCLOSED = 0.47  # the same for everything else; 1/2 is the chord across a gap
SIDE_CORE_MM2 = 15.0  # smaller cores beside the largest one are ignored
EYE_CORE_MM2 = 300.0  # no more than this of an eye is deeper than CORE_MM
BONE_BORDER_SMALL = 0.65  # share of bone around a side core that may be an eye (in fat)
BONE_BORDER_LARGE = 0.4  # and around a larger one; thin bone beside air looks like fat
FLARE = 0.5  # mm that the cavity may widen per mm on the way down
SPUR_MM = 2.0  # half width of the spurs (air cells, clefts in bone) that are cut off
NECK_MM2 = 1200.0  # a section of this size below the widest one is the foramen magnum
CRANIAL_MM2 = 6000.0  # a section so large is cranial; mouth and throat stay below
CRANIAL_SHARE, BESIDE_SHARE = 0.8, 0.87  # share of bone around a smaller one, times its enclosure
VAULT_MM2 = 10000.0  # only behind gaps in larger cores; lower down lie the temporal muscles
VERTEX_SHARE = 0.5  # share of cavity and bone in the tissue of a small section; not in a neck
MIN_AREA_MM2 = 150.0  # smaller islands in one slice are dropped
SINUS_SHARE = 0.2  # share of skull in a hole that makes it bone or sinus
HOLE_MM2 = 40.0  # smaller holes are filled even when they belong to the skull

RIM_MM = 1.0  # partial volume of the inner table reaches this far
RIM_HU = 25.0  # and lifts it this much above the tissue further in


def brain_mask(
    volume: CTVolume,
    method: str = "classical",
    *,
    on_progress: Callable[[int, int], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> BoolArray:
    """Intracranial space of a head CT.

    Parameters
    ----------
    volume
        Series in Hounsfield units.
    method
        Only ``"classical"``.
    on_progress
        Called with ``(done, total)`` in percent.
    cancelled
        Asked between steps; when it returns True the work stops.

    Returns
    -------
    ndarray
        ``(z, y, x)`` bool on the grid of ``volume.hu``; True from the inner table
        inwards: brain, CSF, blood, calcifications and metal. All False when no
        head is found.

    Raises
    ------
    Cancelled
        When `cancelled` returned True.
    """
    if method != "classical":
        raise ValueError(f"unknown brain mask method {method!r}; use 'classical'")

    def step(percent: int) -> None:
        if cancelled is not None and cancelled():
            raise Cancelled
        if on_progress is not None:
            on_progress(percent, 100)

    step(0)
    hu = volume.to_canonical(volume.hu)
    out = np.zeros(hu.shape, dtype=bool)
    if hu.size == 0:
        return out
    _, dy, dx = volume.spacing
    slabs = _slabs(volume)
    factor = max(1, round(WORK_MM / max(dy, dx)))
    work = np.stack([_shrink(hu[slab], factor) for slab in slabs])
    extent = np.abs(volume.slice_extent_mm)
    if 0 in volume.canonical_flips:
        extent = extent[::-1]
    slab_mm = np.array([extent[slab].sum() for slab in slabs])
    step(20)
    cavity, hull = _cavity(work, (dy * factor, dx * factor), slab_mm, step)
    step(60)
    for index, slab in enumerate(slabs):
        if cavity[index].any():
            for z in range(slab.start, slab.stop):
                out[z] = _refine(hu[z], cavity[index], hull[index], factor, (dy, dx))
        step(60 + 40 * (index + 1) // len(slabs))
    return np.ascontiguousarray(volume.from_canonical(out))


def _slabs(volume: CTVolume) -> list[slice]:
    """Group neighbouring slices until each group is at least ``SLAB_MM`` thick."""
    thickness = max(volume.spacing[0], 1e-3)
    count = max(1, int(np.ceil(SLAB_MM / thickness - 0.01)))
    n = volume.hu.shape[0]
    return [slice(start, min(start + count, n)) for start in range(0, n, count)]


def _shrink(slab: npt.NDArray, factor: int) -> FloatArray:
    """Mean of a ``(z, y, x)`` slab over z and ``factor`` x ``factor`` pixels, HU."""
    _, height, width = slab.shape
    pad = (-height % factor, -width % factor)
    image = np.zeros((height, width), np.float32)
    for plane in slab:
        image += np.nan_to_num(np.clip(plane, -1000, 4000), copy=False, nan=-1000)
    image /= len(slab)
    image = np.pad(image, ((0, pad[0]), (0, pad[1])), mode="edge")
    blocks = image.reshape(image.shape[0] // factor, factor, -1, factor)
    return blocks.mean(axis=(1, 3), dtype=np.float32)


def _enclosure(bone: BoolArray, pixel_mm: tuple[float, float]) -> FloatArray:
    """Share of in-plane directions in which a pixel meets bone, ``(z, y, x)`` 0 to 1."""
    height, width = bone.shape[1:]
    stride = [max(1, round(RAY_MM / mm)) for mm in pixel_mm]
    coarse = _any_block(bone, stride[0], stride[1])
    total = np.zeros(coarse.shape, np.float32)
    reach = int(np.ceil(np.log2(max(coarse.shape[1:]))))
    for angle in np.arange(N_RAYS) * (2 * np.pi / N_RAYS):
        hit = coarse.copy()
        for power in range(reach):
            length = 2**power
            hit |= _shifted(hit, round(length * np.sin(angle)), round(length * np.cos(angle)))
        total += hit
    total /= N_RAYS
    zoomed = ndimage.zoom(total, (1, stride[0], stride[1]), order=1, grid_mode=True, mode="nearest")
    return zoomed[:, :height, :width]


def _any_block(mask: BoolArray, fy: int, fx: int) -> BoolArray:
    """Whether any pixel of each ``fy`` x ``fx`` block is set, ``(z, y, x)``."""
    _, height, width = mask.shape
    padded = np.pad(mask, ((0, 0), (0, -height % fy), (0, -width % fx)))
    blocks = padded.reshape(len(mask), padded.shape[1] // fy, fy, padded.shape[2] // fx, fx)
    return np.logical_or.reduce(blocks, axis=(2, 4))


def _shifted(mask: BoolArray, dy: int, dx: int) -> BoolArray:
    """``mask[z, y + dy, x + dx]``, False outside."""
    out = np.zeros_like(mask)
    height, width = mask.shape[1:]
    if abs(dy) >= height or abs(dx) >= width:
        return out
    to_y, from_y = slice(max(0, -dy), height - max(0, dy)), slice(max(0, dy), height - max(0, -dy))
    to_x, from_x = slice(max(0, -dx), width - max(0, dx)), slice(max(0, dx), width - max(0, -dx))
    out[:, to_y, to_x] = mask[:, from_y, from_x]
    return out


def _cavity(
    work: FloatArray,
    pixel_mm: tuple[float, float],
    slab_mm: npt.NDArray[np.float64],
    step: Callable[[int], None],
) -> tuple[BoolArray, BoolArray]:
    """Find the intracranial space on the working grid.

    Parameters
    ----------
    work
        ``(z, y, x)`` HU, canonical orientation.
    pixel_mm
        Size of a pixel ``(y, x)``, mm.
    slab_mm
        ``(z,)`` thickness of every section, mm.
    step
        Called with the finished percentage; may raise `Cancelled`.

    Returns
    -------
    cavity, hull
        ``(z, y, x)`` bool: the intracranial space, and all that lies inside the skull
        or inside the chords across its gaps.
    """
    bone = np.greater(work, BONE_HU)
    enclosure = _enclosure(bone, pixel_mm)
    hull = enclosure >= HULL_ENCLOSED
    step(35)
    soft = (work > FAT_HU) & ~bone & hull
    core = enclosure >= CORE_ENCLOSED
    deep = np.zeros_like(bone)
    for z in range(len(work)):
        fat = (work[z] > AIR_HU) & (work[z] <= FAT_HU) & core[z]
        soft[z] &= ~_around_fat(fat, bone[z], pixel_mm)
        soft[z] |= _bubbles((work[z] <= FAT_HU) & core[z], bone[z], pixel_mm)
        deep[z] = ndimage.distance_transform_edt(soft[z], sampling=pixel_mm) > CORE_MM
        core[z] &= deep[z]
        core[z] = _bordered_by_bone(core[z], soft[z], bone[z], pixel_mm)
    step(50)
    cavity = np.zeros_like(bone)
    metal = np.greater(work, METAL_HU)
    streaked = np.logical_or.reduce(metal & (enclosure >= CORE_ENCLOSED), axis=(1, 2))
    _bridge_streaks(core, streaked, metal)
    core = _choose(core, enclosure, soft, work, pixel_mm, slab_mm)
    if not core.any():
        return cavity, hull
    area = core.sum((1, 2)) * pixel_mm[0] * pixel_mm[1]
    widest = int(np.argmax(area))
    # Behind a gap in the vault few directions meet bone, but the brain goes on to the chord.
    for z in np.flatnonzero(area >= VAULT_MM2).tolist():
        core[z] = ndimage.binary_propagation(core[z], mask=core[z] | deep[z])
    skull = _skull(bone)

    for z in range(widest, len(work)):
        cavity[z] = _section(core[z], soft[z], skull[z], metal[z], pixel_mm)
        if not cavity[z].any():
            break
    above, distance = cavity[widest], 0.0
    for z in range(widest - 1, -1, -1):
        distance += float(slab_mm[z] + slab_mm[z + 1]) / 2
        reach = _dilate(above, FLARE * distance + SPUR_MM, pixel_mm)
        cavity[z] = _section(core[z] & reach, soft[z] & reach, skull[z], metal[z], pixel_mm)
        if not cavity[z].any():
            break
        if not streaked[z]:
            above, distance = cavity[z], 0.0
    _bridge_streaks(cavity, streaked, metal)
    small = cavity[:widest].sum((1, 2)) * pixel_mm[0] * pixel_mm[1] < NECK_MM2
    if small.any():
        cavity[: int(np.flatnonzero(small)[-1]) + 1] = False
    return cavity, hull


def _around_fat(fat: BoolArray, bone: BoolArray, pixel_mm: tuple[float, float]) -> BoolArray:
    """Find pixels close to fat in a skull, with no bone between: the orbit, ``(y, x)``.

    Thin layers and small spots of fat density are partial volume of air and do not count.
    """
    solid = ndimage.binary_opening(fat, _disc(SPUR_MM, pixel_mm))
    solid = _drop_small(solid, MIN_AREA_MM2 / (pixel_mm[0] * pixel_mm[1]))
    if not solid.any():
        return solid
    steps = max(1, round(2 * SPUR_MM / min(pixel_mm)))
    return ndimage.binary_dilation(solid, iterations=steps, mask=~bone)


def _bubbles(air: BoolArray, bone: BoolArray, pixel_mm: tuple[float, float]) -> BoolArray:
    """Find small spots of air far from bone, unlike sinus and mastoid cells, ``(y, x)``."""
    labels, _ = ndimage.label(air)
    free = np.bincount(labels.ravel()) * pixel_mm[0] * pixel_mm[1] < HOLE_MM2
    free[np.unique(labels[_dilate(bone, SPUR_MM, pixel_mm)])] = False
    free[0] = False
    return free[labels]


def _bordered_by_bone(
    core: BoolArray, soft: BoolArray, bone: BoolArray, pixel_mm: tuple[float, float]
) -> BoolArray:
    """Drop parts of a ``(y, x)`` core, the largest excepted, that border on fat or air."""
    labels, count = ndimage.label(core)
    if count < 2:
        return core
    area = np.bincount(labels.ravel()) * pixel_mm[0] * pixel_mm[1]
    area[0] = 0
    keep = np.zeros(count + 1, dtype=bool)
    keep[np.argmax(area)] = True
    margin = int(np.ceil((CORE_MM + SPUR_MM) / min(pixel_mm))) + 1
    for index, found in enumerate(ndimage.find_objects(labels), start=1):
        if keep[index] or area[index] < SIDE_CORE_MM2:
            continue
        box = tuple(slice(max(0, s.start - margin), s.stop + margin) for s in found)
        border = _dilate(labels[box] == index, CORE_MM + SPUR_MM, pixel_mm) & ~soft[box]
        least = BONE_BORDER_SMALL if area[index] < EYE_CORE_MM2 else BONE_BORDER_LARGE
        keep[index] = bool((bone[box] & border).sum() >= least * border.sum())
    return keep[labels]


def _skull(bone: BoolArray) -> BoolArray:
    """Take the largest connected piece of bone, ``(z, y, x)``."""
    labels, count = ndimage.label(bone)
    if count == 0:
        return bone
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return labels == int(np.argmax(sizes))


def _choose(
    core: BoolArray,
    enclosure: FloatArray,
    soft: BoolArray,
    work: FloatArray,
    pixel_mm: tuple[float, float],
    slab_mm: npt.NDArray[np.float64],
) -> BoolArray:
    """Keep the largest cranial piece of a ``(z, y, x)`` core.

    Where that piece is cut off by the upper end of a partial scan, other cranial pieces
    that reach the end too are kept: they may be joined above it (temporal lobes).
    """
    labels, count = ndimage.label(core)
    if count == 0:
        return core
    weight = enclosure * slab_mm[:, None, None].astype(np.float32)
    sizes = ndimage.sum_labels(weight, labels, np.arange(count + 1))
    top = np.unique(labels[-1])
    chosen: list[int] = []
    for index in np.argsort(sizes)[::-1]:
        if index == 0 or (chosen and index not in top):
            continue
        piece = labels == index
        z = int(np.argmax(piece.sum((1, 2))))
        if chosen and piece[z].sum() * pixel_mm[0] * pixel_mm[1] < MIN_AREA_MM2:
            continue
        if _is_cranial(piece[z], enclosure[z], soft[z], work[z], pixel_mm, bool(chosen)):
            chosen.append(int(index))
            if index not in top:
                break
    return np.isin(labels, chosen)


def _is_cranial(
    core: BoolArray,
    enclosure: FloatArray,
    soft: BoolArray,
    section: FloatArray,
    pixel_mm: tuple[float, float],
    beside: bool,
) -> bool:
    """Whether a ``(y, x)`` piece of core lies in a skull, and not in face or neck.

    `beside` says that a cranial piece was found already, so that this is no neck.
    """
    near = _dilate(core, CORE_MM + SPUR_MM, pixel_mm)
    area = (near & soft).sum() * pixel_mm[0] * pixel_mm[1]
    if area >= CRANIAL_MM2:
        return True
    bone = section > BONE_HU
    border = near & ~soft
    least = BESIDE_SHARE if beside else CRANIAL_SHARE
    if (bone & border).sum() * enclosure[core].mean() < least * border.sum():
        return False
    if beside or area >= NECK_MM2:
        return True
    labels, _ = ndimage.label(section > BODY_HU)
    body = ndimage.binary_fill_holes(labels == np.bincount(labels[core]).argmax())
    return bool((body & (bone | (near & soft))).sum() >= VERTEX_SHARE * body.sum())


def _section(
    core: BoolArray,
    soft: BoolArray,
    skull: BoolArray,
    metal: BoolArray,
    pixel_mm: tuple[float, float],
) -> BoolArray:
    """Grow one ``(y, x)`` section of the core to the bone and fill what lies inside it."""
    if not core.any():
        return np.zeros_like(core)
    pixel_area = pixel_mm[0] * pixel_mm[1]
    steps = max(1, round((CORE_MM + SPUR_MM) / min(pixel_mm)))
    grown = ndimage.binary_dilation(core, iterations=steps, mask=soft)
    labels, count = ndimage.label(ndimage.binary_fill_holes(grown) & ~grown)
    if count:
        index = np.arange(count + 1)
        sizes = np.bincount(labels.ravel())
        bony = ndimage.sum_labels(skull, labels, index) > SINUS_SHARE * sizes
        hard = ndimage.sum_labels(metal, labels, index) > 0
        fill = ~bony | hard | (sizes * pixel_area < HOLE_MM2)
        fill[0] = False
        grown |= fill[labels]
    opened = ndimage.binary_opening(grown, _disc(SPUR_MM, pixel_mm))
    return _drop_small(opened, MIN_AREA_MM2 / pixel_area)


def _bridge_streaks(mask: BoolArray, streaked: BoolArray, metal: BoolArray) -> None:
    """Complete sections torn by metal with what the clean ones on either side share."""
    clean = np.flatnonzero(~streaked)
    for first, last in itertools.pairwise(clean):
        shared = mask[first] & mask[last]
        if last - first > 1 and (metal[first + 1 : last] & shared).any():
            mask[first + 1 : last] |= shared


def _disc(radius_mm: float, pixel_mm: tuple[float, float]) -> BoolArray:
    """Disc of a radius in mm as a structuring element, ``(y, x)``."""
    ry, rx = (int(radius_mm / mm + 1e-6) for mm in pixel_mm)
    y, x = np.ogrid[-ry : ry + 1, -rx : rx + 1]
    return np.hypot(y * pixel_mm[0], x * pixel_mm[1]) <= radius_mm + 1e-6


def _dilate(mask: BoolArray, radius_mm: float, pixel_mm: tuple[float, float]) -> BoolArray:
    """Pixels within a distance in mm of a ``(y, x)`` mask."""
    if not mask.any():
        return mask
    return ndimage.distance_transform_edt(~mask, sampling=pixel_mm) <= radius_mm


def _drop_small(mask: BoolArray, pixels: float) -> BoolArray:
    """Keep connected parts of a ``(y, x)`` mask with at least `pixels` pixels."""
    labels, count = ndimage.label(mask)
    if count == 0:
        return mask
    keep = np.bincount(labels.ravel()) >= pixels
    keep[0] = False
    return keep[labels]


def _refine(
    plane: npt.NDArray,
    cavity: BoolArray,
    hull: BoolArray,
    factor: int,
    pixel_mm: tuple[float, float],
) -> BoolArray:
    """Draw the border on a native slice.

    Parameters
    ----------
    plane
        ``(y, x)`` HU.
    cavity, hull
        ``(y / factor, x / factor)`` result of `_cavity`.
    factor
        Native pixels per pixel of the working grid.
    pixel_mm
        Size of a native pixel ``(y, x)``, mm.

    Returns
    -------
    ndarray
        ``(y, x)`` bool.
    """
    out = np.zeros(plane.shape, dtype=bool)
    rows, cols = np.flatnonzero(cavity.any(1)), np.flatnonzero(cavity.any(0))
    if not len(rows):
        return out
    margin = int(np.ceil(2 * SPUR_MM / (factor * min(pixel_mm))))
    coarse_box = (
        slice(max(0, rows[0] - margin), rows[-1] + margin + 1),
        slice(max(0, cols[0] - margin), cols[-1] + margin + 1),
    )
    box = tuple(slice(s.start * factor, s.stop * factor) for s in coarse_box)
    hu = np.nan_to_num(np.clip(plane[box], -200, 400).astype(np.float32), nan=-200)
    coarse, inside = (
        np.repeat(np.repeat(a[coarse_box], factor, 0), factor, 1)[: hu.shape[0], : hu.shape[1]]
        for a in (cavity, hull)
    )
    smooth = ndimage.gaussian_filter(hu, [0.4 / mm for mm in pixel_mm])
    pixel = min(pixel_mm)
    near = ndimage.binary_dilation(coarse, iterations=max(1, round(SPUR_MM / pixel)))
    mask = near & inside & (smooth < EDGE_HU) & (smooth > FAT_HU)
    mask = ndimage.binary_opening(mask, iterations=max(1, round(0.5 / pixel)))

    # A rim that is brighter than the tissue further in is partial volume; blood against
    # the inner table is as bright further in and stays.
    rim = ndimage.binary_dilation(smooth >= EDGE_HU, iterations=max(1, round(RIM_MM / pixel)))
    deep = (mask & ~rim).astype(np.float32)
    sigma = [RIM_MM / mm for mm in pixel_mm]
    weight = ndimage.gaussian_filter(deep, sigma)
    tissue = ndimage.gaussian_filter(deep * hu, sigma) / np.maximum(weight, 1e-6)
    mask &= ~(rim & (weight > 1e-3) & (smooth > tissue + RIM_HU))
    # Air, metal and streaks inside stay inside, wherever they are not at the border.
    mask |= ndimage.binary_erosion(coarse, iterations=max(1, round(SPUR_MM / pixel)))

    mask = _drop_small(mask, MIN_AREA_MM2 / (pixel_mm[0] * pixel_mm[1]))
    labels, count = ndimage.label(mask)
    touching = np.zeros(count + 1, dtype=bool)
    touching[np.unique(labels[coarse])] = True
    touching[0] = False
    mask = touching[labels]
    labels, count = ndimage.label(ndimage.binary_fill_holes(mask) & ~mask)
    index = np.arange(count + 1)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    fill = ndimage.sum_labels(coarse, labels, index) > 0.5 * sizes
    fill |= sizes * pixel_mm[0] * pixel_mm[1] < HOLE_MM2
    fill[0] = False
    out[box] = mask | fill[labels]
    return out
