"""Brain mask: the intracranial space (brain, CSF, blood) up to the inner table.

Only thresholds, distances and connected components; no weights. The search runs on a
grid of about 1 mm in the slice and at least 2.5 mm across it; the border is then drawn
again on the native slices.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from napari_rsna_inpaint.brain.border import draw_border
from napari_rsna_inpaint.brain.cavity import find_cavity
from napari_rsna_inpaint.brain.packed import PackedMask
from napari_rsna_inpaint.brain.tissue import BoolArray, FloatArray
from napari_rsna_inpaint.errors import Cancelled
from napari_rsna_inpaint.volume import CTVolume

WORK_MM = 1.0  # in-plane size of the working grid
SLAB_MM = 2.5  # thin slices are averaged up to this thickness


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
    mask = packed_brain_mask(volume, on_progress=on_progress, cancelled=cancelled)
    out = np.empty(mask.shape, bool)
    # Views in canonical orientation write through to the native array.
    for z, plane in enumerate(volume.to_canonical(out)):
        plane[:] = mask[z]
    return out


def packed_brain_mask(
    volume: CTVolume,
    *,
    on_progress: Callable[[int, int], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> PackedMask:
    """The same in canonical orientation and an eighth of the memory (see `brain_mask`)."""

    def step(percent: int) -> None:
        if cancelled is not None and cancelled():
            raise Cancelled
        if on_progress is not None:
            on_progress(percent, 100)

    step(0)
    z, height, width = volume.hu.shape
    return PackedMask(_planes(volume, step), (z, height, width))


def _planes(volume: CTVolume, step: Callable[[int], None]) -> Iterator[BoolArray]:
    """Planes ``(y, x)`` of the mask from below."""
    hu = volume.to_canonical(volume.hu)
    if hu.size == 0:
        return
    _, dy, dx = volume.spacing
    slabs = volume.slabs(SLAB_MM)
    factor = max(1, round(WORK_MM / max(dy, dx)))
    work = np.stack([_shrink(hu[slab], factor) for slab in slabs])
    extent = np.abs(volume.slice_extent_mm)
    if 0 in volume.canonical_flips:
        extent = extent[::-1]
    slab_mm = np.array([extent[slab].sum() for slab in slabs])
    step(20)
    cavity, hull = find_cavity(work, (dy * factor, dx * factor), slab_mm, step)
    del work
    step(60)
    for index, slab in enumerate(slabs):
        for z in range(slab.start, slab.stop):
            yield draw_border(hu[z], cavity[index], hull[index], factor, (dy, dx))
        step(60 + 40 * (index + 1) // len(slabs))


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
