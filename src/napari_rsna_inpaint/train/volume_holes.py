"""What is hidden in volumes in training: all that is hidden in use, and more."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_rsna_inpaint.inpaint.boxes import boxes
from napari_rsna_inpaint.train.lesion_outlines import LesionOutlines

BoolVolume = npt.NDArray[np.bool_]

#: Sides of boxes as the detector hides them, pixels; the first is that of its fast preset.
SIDES = (32, 16, 24, 48, 64)
SIDE_SHARES = (0.5, 0.15, 0.1, 0.1, 0.15)
#: Share of grids whose boxes go through all sections, as in the presets.
THROUGH_SHARE = 0.6
#: Shares of holes that are grids of boxes and single boxes; the others are blobs.
GRID_SHARE, BOX_SHARE = 0.7, 0.1
#: Share of holes in the shape of a real lesion, where such shapes are given.
LESION_SHARE = 0.15


def random_volume_hole(
    brain: BoolVolume,
    section_mm: float,
    pixel_mm: float,
    rng: np.random.Generator,
    outlines: LesionOutlines | None = None,
) -> BoolVolume:
    """A random hole of at least one brain voxel, wherever the mask has one.

    Grids of boxes as the detector hides them, single boxes, ellipsoids with a rough surface;
    shapes of real lesions where given. Hidden is only what lies in the brain, as in use.

    Parameters
    ----------
    brain
        ``(z, y, x)`` bool on the model grid.
    section_mm, pixel_mm
        Distance of sections and size of pixels.

    Returns
    -------
    ``(z, y, x)`` bool, hole = 1.
    """
    if not brain.any():
        return np.zeros_like(brain)
    if outlines is not None and rng.random() < LESION_SHARE:
        return outlines.draw_volume(brain, section_mm, rng) & brain
    kind = rng.random()
    if kind < GRID_SHARE:
        hole = _grid(brain.shape, rng) & brain
    elif kind < GRID_SHARE + BOX_SHARE:
        hole = _box(brain, rng) & brain
    else:
        radius = float(np.exp(rng.uniform(np.log(4), np.log(35)))) / pixel_mm
        depth = radius * pixel_mm / section_mm * float(np.exp(rng.normal(0, 0.3)))
        hole = ellipsoid(brain.shape, _any_voxel(brain, rng), (depth, radius, radius), rng) & brain
    return hole if hole.any() else _box(brain, rng) & brain


def ellipsoid(
    shape: tuple[int, ...],
    center: npt.ArrayLike,
    radii: tuple[float, float, float],
    rng: np.random.Generator,
) -> BoolVolume:
    """An ellipsoid with a surface of smooth noise, like that of a lesion.

    Parameters
    ----------
    shape, center, radii
        ``(z, y, x)``, voxels.
    """
    noise = ndimage.gaussian_filter(rng.standard_normal(shape), np.asarray(radii) / 3)
    noise /= max(float(noise.std()), 1e-6)
    at = np.indices(shape) - np.asarray(center)[:, None, None, None]
    distance = np.sqrt(np.square(at / np.asarray(radii)[:, None, None, None]).sum(0))
    return distance < 1 + 0.3 * noise


def _grid(shape: tuple[int, ...], rng: np.random.Generator) -> BoolVolume:
    side = int(rng.choice(SIDES, p=SIDE_SHARES))
    period = 2 if rng.random() < 0.8 else 3
    depth = 0 if rng.random() < THROUGH_SHARE else int(rng.integers(1, 7))
    offset = (int(rng.integers(side)), int(rng.integers(side)))
    z, y, x = (int(n) for n in rng.integers(period, size=3))
    return boxes(shape, side, depth, offset, period, (z, y, x), int(rng.integers(1000)))


def _box(brain: BoolVolume, rng: np.random.Generator) -> BoolVolume:
    hole = np.zeros(brain.shape, bool)
    half = np.exp(rng.uniform(np.log((1, 5, 5)), np.log((len(brain), 70, 70)))) / 2
    hole[
        tuple(
            slice(max(0, int(at - h)), int(at + h) + 1)
            for at, h in zip(_any_voxel(brain, rng), half, strict=True)
        )
    ] = True
    return hole


def _any_voxel(brain: BoolVolume, rng: np.random.Generator) -> npt.NDArray[np.intp]:
    inside = np.flatnonzero(brain)
    return np.array(np.unravel_index(inside[rng.integers(len(inside))], brain.shape))
