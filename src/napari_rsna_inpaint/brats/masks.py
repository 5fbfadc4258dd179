"""Masks in healthy brain: smooth random blobs, and the shapes of real lesions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_rsna_inpaint.train.volume_holes import ellipsoid

BoolArray = npt.NDArray[np.bool_]

#: Shares of masks of 1, 2 and 3 blobs.
COUNT_SHARES = (0.45, 0.45, 0.1)
#: Places that are tried for a blob before it is given up.
TRIES = 20
#: Share of blobs in the shape of a real lesion, where such shapes are given.
LESION_SHARE = 0.5
#: Radius of random blobs, smallest to largest, mm.
RADIUS_MM = (5.0, 25.0)
#: Distance that is kept from unhealthy tissue, mm.
MARGIN_MM = 5.0
#: A blob of which less lies in the brain is tried elsewhere.
MIN_INSIDE = 0.75
#: Smallest part of a blob in the brain, mm3.
MIN_VOLUME_MM3 = 100.0


@dataclass(frozen=True)
class Blob:
    """What became of one blob.

    Attributes
    ----------
    kind
        ``random`` or ``lesion``; of the last try.
    placed
        False where it was given up after ``tries``.
    voxels
        Of its part in the brain; 0 where it was given up.
    """

    kind: str
    placed: bool
    tries: int
    voxels: int

    def to_json(self) -> dict[str, object]:
        """For the metadata of a mask."""
        return asdict(self)


def healthy_mask(
    brain: BoolArray,
    unhealthy: BoolArray,
    spacing_mm: tuple[float, float, float],
    rng: np.random.Generator,
    lesions: Sequence[BoolArray] = (),
) -> tuple[BoolArray, list[Blob]]:
    """Draw a mask of one to three blobs that do not touch each other.

    Parameters
    ----------
    brain, unhealthy
        ``(z, y, x)`` bool; no voxel nearer than `MARGIN_MM` to unhealthy tissue is masked.
    spacing_mm
        Distance of voxels along the axes.
    lesions
        Shapes of real lesions on voxels of the same size, any shape each; they are mirrored,
        rotated and shifted.

    Returns
    -------
    The mask, hole = 1, empty if every blob was given up; and what became of the blobs.
    """
    allowed = brain.copy()
    if unhealthy.any():
        allowed &= ndimage.distance_transform_edt(~unhealthy, sampling=spacing_mm) > MARGIN_MM
    mask = np.zeros_like(brain)
    blobs = []
    for _ in range(1 + int(rng.choice(len(COUNT_SHARES), p=COUNT_SHARES))):
        blobs.append(_place(mask, brain, allowed, spacing_mm, rng, lesions))
    return mask, blobs


def _place(
    mask: BoolArray,
    brain: BoolArray,
    allowed: BoolArray,
    spacing_mm: tuple[float, float, float],
    rng: np.random.Generator,
    lesions: Sequence[BoolArray],
) -> Blob:
    """Add one blob to ``mask`` where it fits."""
    # apart from blobs that are there already
    free = allowed & ~ndimage.binary_dilation(mask, np.ones((3, 3, 3), bool))
    centers = np.flatnonzero(free)
    kind = "random"
    if not len(centers):
        return Blob(kind, False, 0, 0)
    smallest = MIN_VOLUME_MM3 / float(np.prod(spacing_mm))
    for tried in range(1, TRIES + 1):
        kind = "lesion" if len(lesions) and rng.random() < LESION_SHARE else "random"
        shape = (
            turned(lesions[int(rng.integers(len(lesions)))], rng)
            if kind == "lesion"
            else _random_shape(spacing_mm, rng)
        )
        center = np.unravel_index(centers[rng.integers(len(centers))], brain.shape)
        inside, part = _overlap(brain.shape, shape.shape, center)
        whole, blob = int(shape.sum()), shape[part] & brain[inside]
        if blob.sum() < max(MIN_INSIDE * whole, smallest) or (blob & ~free[inside]).any():
            continue
        mask[inside] |= blob
        return Blob(kind, True, tried, int(blob.sum()))
    return Blob(kind, False, TRIES, 0)


def _random_shape(
    spacing_mm: tuple[float, float, float], rng: np.random.Generator
) -> npt.NDArray[np.bool_]:
    """An ellipsoid with a rough surface in an array that it fits in."""
    low, high = RADIUS_MM
    radius = np.exp(rng.uniform(np.log(low), np.log(high)))
    z, y, x = radius * np.exp(rng.normal(0, 0.2, 3)) / np.asarray(spacing_mm)
    half = np.ceil(1.7 * np.array([z, y, x])).astype(int)
    shape = tuple(int(n) for n in 2 * half + 1)
    return ellipsoid(shape, half, (float(z), float(y), float(x)), rng)


def turned(lesion: BoolArray, rng: np.random.Generator) -> BoolArray:
    """A lesion, cropped, mirrored along axes at random and rotated about the first axis."""
    box = ndimage.find_objects(lesion.astype(np.uint8))[0]
    cropped = lesion[box]
    mirrored = cropped[tuple(slice(None, None, int(s)) for s in rng.choice((-1, 1), 3))]
    angle = float(rng.uniform(0, 360))
    rotated = ndimage.rotate(mirrored.astype(np.uint8), angle, (1, 2), order=0) > 0
    return rotated if rotated.any() else mirrored


def _overlap(
    into: tuple[int, ...], shape: tuple[int, ...], center: tuple[np.intp, ...]
) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Where a shape around a centre lies in an array, and which part of it lies there."""
    starts = [int(c) - n // 2 for c, n in zip(center, shape, strict=True)]
    inside = [slice(max(0, s), min(m, s + n)) for s, n, m in zip(starts, shape, into, strict=True)]
    part = [slice(i.start - s, i.stop - s) for i, s in zip(inside, starts, strict=True)]
    return tuple(inside), tuple(part)
