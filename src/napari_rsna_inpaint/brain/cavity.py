"""The cranial cavity on the working grid: core, section by section, down to the neck."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_rsna_inpaint.brain.enclosure import bone_enclosure
from napari_rsna_inpaint.brain.morphology import dilate, disc, drop_small, label_sizes
from napari_rsna_inpaint.brain.tissue import (
    FAT_HU,
    HOLE_MM2,
    ISLAND_MM2,
    SPUR_MM,
    BoolArray,
    FloatArray,
)

BONE_HU = 130.0  # bone on the working grid; clotted blood stays below about 100 HU
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
NECK_MM2 = 1200.0  # a section of this size below the widest one is the foramen magnum
CRANIAL_MM2 = 6000.0  # a section so large is cranial; mouth and throat stay below
CRANIAL_SHARE, BESIDE_SHARE = 0.8, 0.87  # share of bone around a smaller one, times its enclosure
VAULT_MM2 = 10000.0  # only behind gaps in larger cores; lower down lie the temporal muscles
VERTEX_SHARE = 0.5  # share of cavity and bone in the tissue of a small section; not in a neck
SINUS_SHARE = 0.2  # share of skull in a hole that makes it bone or sinus


def find_cavity(
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
    enclosure = bone_enclosure(bone, pixel_mm)
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
    del enclosure
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
        reach = dilate(above, FLARE * distance + SPUR_MM, pixel_mm)
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
    solid = ndimage.binary_opening(fat, disc(SPUR_MM, pixel_mm))
    solid = drop_small(solid, ISLAND_MM2 / (pixel_mm[0] * pixel_mm[1]))
    if not solid.any():
        return solid
    steps = max(1, round(2 * SPUR_MM / min(pixel_mm)))
    return ndimage.binary_dilation(solid, iterations=steps, mask=~bone)


def _bubbles(air: BoolArray, bone: BoolArray, pixel_mm: tuple[float, float]) -> BoolArray:
    """Find small spots of air far from bone, unlike sinus and mastoid cells, ``(y, x)``."""
    labels, _ = ndimage.label(air)
    free = np.bincount(labels.ravel()) * pixel_mm[0] * pixel_mm[1] < HOLE_MM2
    free[np.unique(labels[dilate(bone, SPUR_MM, pixel_mm)])] = False
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
        border = dilate(labels[box] == index, CORE_MM + SPUR_MM, pixel_mm) & ~soft[box]
        least = BONE_BORDER_SMALL if area[index] < EYE_CORE_MM2 else BONE_BORDER_LARGE
        keep[index] = bool((bone[box] & border).sum() >= least * border.sum())
    return keep[labels]


def _skull(bone: BoolArray) -> BoolArray:
    """Take the largest connected piece of bone, ``(z, y, x)``."""
    labels, count = ndimage.label(bone)
    if count == 0:
        return bone
    sizes = label_sizes(labels, count)
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
    thickness = slab_mm.astype(np.float32)
    sizes = label_sizes(labels, count, lambda z: enclosure[z] * thickness[z])
    top = np.unique(labels[-1])
    chosen: list[int] = []
    for index in np.argsort(sizes)[::-1]:
        if index == 0 or (chosen and index not in top):
            continue
        piece = labels == index
        z = int(np.argmax(piece.sum((1, 2))))
        if chosen and piece[z].sum() * pixel_mm[0] * pixel_mm[1] < ISLAND_MM2:
            continue
        if _is_cranial(piece[z], enclosure[z], soft[z], work[z], pixel_mm, bool(chosen)):
            chosen.append(int(index))
            if index not in top:
                break
    keep = np.zeros(count + 1, bool)
    keep[chosen] = True
    return np.stack([keep[plane] for plane in labels])


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
    near = dilate(core, CORE_MM + SPUR_MM, pixel_mm)
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
    opened = ndimage.binary_opening(grown, disc(SPUR_MM, pixel_mm))
    return drop_small(opened, ISLAND_MM2 / pixel_area)


def _bridge_streaks(mask: BoolArray, streaked: BoolArray, metal: BoolArray) -> None:
    """Complete sections torn by metal with what the clean ones on either side share."""
    clean = np.flatnonzero(~streaked)
    for first, last in itertools.pairwise(clean):
        shared = mask[first] & mask[last]
        if last - first > 1 and (metal[first + 1 : last] & shared).any():
            mask[first + 1 : last] |= shared
