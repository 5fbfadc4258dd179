"""Brain mask: the intracranial space (brain, CSF, blood) up to the inner table.

Only thresholds, distances and connected components; no weights. The search runs on a
grid of about 1 mm in the slice and at least 2.5 mm across it; the border is then drawn
again on the native slices.
"""

from __future__ import annotations

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

CORE_MM = 5.0  # half width of the narrowest passage through which the core may grow
CORE_ENCLOSED = 0.72  # share of directions in which the core meets bone
HULL_ENCLOSED = 0.47  # the same for everything else; 1/2 is the chord across a gap
FLARE = 0.5  # mm that the cavity may widen per mm on the way down
MIN_VOLUME_ML = 20.0  # smaller cores are no brain (whole heads)
MIN_AREA_MM2 = 150.0  # smaller islands in one slice are dropped


def brain_mask(
    volume: CTVolume,
    method: str = "classical",
    *,
    on_progress: Callable[[float], None] | None = None,
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
        Called with the finished fraction, 0 to 1.
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

    def step(fraction: float) -> None:
        if cancelled is not None and cancelled():
            raise Cancelled
        if on_progress is not None:
            on_progress(fraction)

    step(0.0)
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
    step(0.2)
    cavity = _cavity(work, (dy * factor, dx * factor), slab_mm, step)
    step(0.6)
    for index, slab in enumerate(slabs):
        if cavity[index].any():
            for z in range(slab.start, slab.stop):
                out[z] = _refine(hu[z], cavity[index], factor, (dy, dx))
        step(0.6 + 0.4 * (index + 1) / len(slabs))
    return np.ascontiguousarray(volume.from_canonical(out))


def _slabs(volume: CTVolume) -> list[slice]:
    """Groups of neighbouring slices, each at least ``SLAB_MM`` thick."""
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
        image += np.clip(plane, -1000, 1500)
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
    return blocks.any(axis=(2, 4))


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
    step: Callable[[float], None],
) -> BoolArray:
    """Intracranial space on the working grid, ``(z, y, x)``."""
    bone = work > BONE_HU
    enclosure = _enclosure(bone, pixel_mm)
    step(0.35)
    soft = (work > FAT_HU) & (work <= BONE_HU) & (enclosure >= HULL_ENCLOSED)
    depth = np.stack([ndimage.distance_transform_edt(s, sampling=pixel_mm) for s in soft])
    core = (depth > CORE_MM) & (enclosure >= CORE_ENCLOSED)
    step(0.5)
    labels, count = ndimage.label(core)
    if count == 0:
        return np.zeros_like(bone)
    pixel_area = pixel_mm[0] * pixel_mm[1]
    weight = np.broadcast_to(slab_mm[:, None, None] * pixel_area, core.shape)
    sizes = ndimage.sum_labels(weight * enclosure**4, labels, np.arange(1, count + 1)) / 1000.0
    best = int(np.argmax(sizes)) + 1
    if sizes[best - 1] < min(MIN_VOLUME_ML, 5.0 * float(slab_mm.sum()) / 10.0):
        return np.zeros_like(bone)
    core = labels == best
    areas = core.sum((1, 2))
    widest = int(np.argmax(areas))
    cavity = np.zeros_like(bone)
    for order in (range(widest, len(work)), range(widest - 1, -1, -1)):
        above: BoolArray | None = (
            cavity[widest] if widest in cavity.any((1, 2)).nonzero()[0] else None
        )
        for z in order:
            allowed = soft[z]
            if above is not None and z < widest:
                reach = FLARE * (slab_mm[z] + slab_mm[z + 1]) / 2 + 2.0
                allowed = allowed & (
                    ndimage.distance_transform_edt(~above, sampling=pixel_mm) <= reach
                )
            seed = core[z] & allowed
            grown = _grow(seed, allowed, CORE_MM + 2.0, pixel_mm)
            cavity[z] = ndimage.binary_fill_holes(_drop_small(grown, MIN_AREA_MM2 / pixel_area))
            above = cavity[z]
            if not above.any():
                break
    return cavity


def _grow(
    seed: BoolArray, allowed: BoolArray, reach_mm: float, pixel_mm: tuple[float, float]
) -> BoolArray:
    """What can be reached from `seed` inside `allowed` within about `reach_mm`, ``(y, x)``."""
    steps = max(1, round(reach_mm / min(pixel_mm)))
    if not seed.any():
        return np.zeros_like(seed)
    return ndimage.binary_dilation(seed, iterations=steps, mask=allowed)


def _drop_small(mask: BoolArray, pixels: float) -> BoolArray:
    """Connected parts of a ``(y, x)`` mask with at least `pixels` pixels."""
    labels, count = ndimage.label(mask)
    if count == 0:
        return mask
    keep = np.bincount(labels.ravel()) >= pixels
    keep[0] = False
    return keep[labels]


def _refine(
    plane: npt.NDArray, cavity: BoolArray, factor: int, pixel_mm: tuple[float, float]
) -> BoolArray:
    """Border on one native ``(y, x)`` slice, HU, from the cavity on the working grid."""
    height, width = plane.shape
    coarse = np.repeat(np.repeat(cavity, factor, 0), factor, 1)[:height, :width]
    out = np.zeros(plane.shape, dtype=bool)
    rows, cols = coarse.any(1).nonzero()[0], coarse.any(0).nonzero()[0]
    if not len(rows):
        return out
    margin = int(np.ceil(4.0 / min(pixel_mm)))
    box = (
        slice(max(0, rows[0] - margin), rows[-1] + margin + 1),
        slice(max(0, cols[0] - margin), cols[-1] + margin + 1),
    )
    coarse = coarse[box]
    smooth = ndimage.gaussian_filter(
        np.clip(plane[box], -200, 400).astype(np.float32), [0.4 / mm for mm in pixel_mm]
    )
    near = ndimage.binary_dilation(coarse, iterations=max(1, round(2.0 / min(pixel_mm))))
    allowed = near & (smooth < EDGE_HU) & (smooth > FAT_HU)
    opened = ndimage.binary_opening(allowed, iterations=max(1, round(0.5 / min(pixel_mm))))
    kept = _drop_small(opened | (coarse & allowed), MIN_AREA_MM2 / (pixel_mm[0] * pixel_mm[1]))
    labels, count = ndimage.label(kept)
    if count:
        touching = np.zeros(count + 1, dtype=bool)
        touching[np.unique(labels[coarse])] = True
        touching[0] = False
        kept = touching[labels]
    out[box] = ndimage.binary_fill_holes(kept)
    return out
