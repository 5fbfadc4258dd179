"""A region of a volume as holes in its slices."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_rsna_inpaint.brain import PackedMask
from napari_rsna_inpaint.inpaint.resample import ModelGrid
from napari_rsna_inpaint.volume import Array, CTVolume

BoolArray = npt.NDArray[np.bool_]


def pack_mask(volume: CTVolume, mask: Array) -> PackedMask:
    """Pack a brain mask ``(z, y, x)`` on the grid of a volume, as `packed_brain_mask` does."""
    z, height, width = volume.hu.shape
    numbers = map(volume.canonical_slice, range(z))
    return PackedMask((turned(volume, mask[number]) for number in numbers), (z, height, width))


def turned(volume: CTVolume, plane: npt.NDArray) -> npt.NDArray:
    """A plane ``(y, x)`` from the orientation of the volume to the canonical one, or back."""
    return np.flip(plane, tuple(axis - 1 for axis in volume.canonical_flips if axis > 0))


def holes_in_brain(
    volume: CTVolume, region: npt.NDArray, brain: PackedMask
) -> dict[int, BoolArray]:
    """Part of a region inside the brain by slice of the volume, ``(y, x)`` each."""
    holes = {}
    for z in map(int, np.flatnonzero(region.any((1, 2)))):
        hole = (region[z] != 0) & turned(volume, brain[volume.canonical_slice(z)])
        if hole.any():
            holes[z] = hole
    return holes


def touched_pixels(
    volume: CTVolume, holes: dict[int, BoolArray], grid: ModelGrid, z: int
) -> BoolArray:
    """Pixels of the model grid to hide in a canonical slice, ``(y, x)``.

    All that the hole touches, and a margin of a pixel, so that none of it can be copied.
    """
    hole = holes.get(volume.canonical_slice(z))
    if hole is None:
        return np.zeros(grid.shape, bool)
    covered = grid.average(turned(volume, hole).astype(np.float32)) > 0
    return ndimage.binary_dilation(covered, np.ones((3, 3)))
