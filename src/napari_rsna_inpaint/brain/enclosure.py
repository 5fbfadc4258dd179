"""How far bone surrounds each pixel: the share of directions that meet it."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from napari_rsna_inpaint.brain.tissue import BoolArray, FloatArray

RAY_MM = 2.0  # in-plane size of the grid on which directions are searched for bone
N_RAYS = 32


def bone_enclosure(bone: BoolArray, pixel_mm: tuple[float, float]) -> FloatArray:
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
