"""The one way from native slices to the model grid and back.

Original, mask, network input and completion all take it, so that a perfect completion has a
residual of exactly zero.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

AIR_HU = -1000.0


def _area_weights(n_native: int, step: float, first: float, n_model: int) -> npt.NDArray:
    """``(n_model, n_native)`` share of every native sample in every model sample.

    Lengths are in native samples. A model sample averages a box as wide as the coarser of
    the two grids: area averaging when it shrinks, linear interpolation when it does not.
    """
    half = max(step, 1.0) / 2
    centers = first + step * np.arange(n_model)
    edges = np.arange(n_native + 1) - 0.5
    covered = np.clip(edges[None], (centers - half)[:, None], (centers + half)[:, None])
    return (np.diff(covered, axis=1) / (2 * half)).astype(np.float32)


def _linear_weights(n_native: int, step: float, first: float, n_model: int) -> npt.NDArray:
    """``(n_native, n_model)`` linear interpolation of model samples at native positions."""
    position = np.clip((np.arange(n_native) - first) / step, 0, n_model - 1)
    lower = np.minimum(position.astype(int), max(n_model - 2, 0))
    weights = np.zeros((n_native, n_model), np.float32)
    rows = np.arange(n_native)
    fraction = position - lower
    np.add.at(weights, (rows, lower), 1 - fraction)
    np.add.at(weights, (rows, np.minimum(lower + 1, n_model - 1)), fraction)
    return weights


@dataclass(frozen=True)
class ModelGrid:
    """Square pixels of fixed size over a part of a native slice.

    Attributes
    ----------
    shape
        ``(y, x)`` of the model grid.
    start, step
        ``(y, x)`` native index of its first pixel, and native pixels from one to the next.
    down, up
        Per axis (y, x), ``(n_model, n_native)`` averaging and ``(n_native, n_model)``
        interpolation matrices, sparse.
    """

    shape: tuple[int, int]
    start: tuple[float, float]
    step: tuple[float, float]
    down: tuple[sparse.csr_array, sparse.csr_array]
    up: tuple[sparse.csr_array, sparse.csr_array]

    @classmethod
    def around(
        cls,
        mask: npt.NDArray[np.bool_],
        spacing_yx: tuple[float, float],
        pixel_mm: float,
        *,
        margin_mm: float = 8.0,
        divisor: int = 16,
    ) -> ModelGrid:
        """Grid centred on the bounding box of a native ``(z, y, x)`` mask plus a margin.

        Both sides of the model grid are multiples of ``divisor`` pixels. An empty mask
        gives a grid on the middle of the slice.
        """
        down, up, shape, starts, steps = [], [], [], [], []
        for axis, spacing in ((1, spacing_yx[0]), (2, spacing_yx[1])):
            n_native = mask.shape[axis]
            inside = np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis})))
            first, last = (inside[0], inside[-1]) if len(inside) else (n_native // 2,) * 2
            length_mm = (last - first + 1) * spacing + 2 * margin_mm
            n_model = divisor * math.ceil(length_mm / (pixel_mm * divisor))
            step = pixel_mm / spacing
            start = (first + last) / 2 - step * (n_model - 1) / 2
            down.append(_area_weights(n_native, step, start, n_model))
            up.append(_linear_weights(n_native, step, start, n_model))
            shape.append(n_model)
            starts.append(start)
            steps.append(step)
        return cls(
            (shape[0], shape[1]),
            (starts[0], starts[1]),
            (steps[0], steps[1]),
            _sparse(down),
            _sparse(up),
        )

    def image_to_model(self, hu: npt.NDArray) -> npt.NDArray[np.float32]:
        """Native ``(y, x)`` HU to the model grid by area; outside of the slice is air."""
        return self.average(hu.astype(np.float32) - AIR_HU) + AIR_HU

    def mask_to_model(self, mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Native ``(y, x)`` mask to the model grid: at least half of the pixel's area."""
        return self.average(mask.astype(np.float32)) >= 0.5

    def scan_to_model(
        self, hu: npt.NDArray, mask: npt.NDArray[np.bool_]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
        """Native ``(z, y, x)`` HU and mask to the model grid, slice by slice."""
        image = np.stack([self.image_to_model(plane) for plane in hu])
        return image, np.stack([self.mask_to_model(plane) for plane in mask])

    def average(self, values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Native ``(y, x)`` values to the model grid by area; outside of the slice is 0."""
        return _apply(self.down, values)

    def to_native(
        self,
        values: npt.NDArray[np.float32],
        rows: npt.NDArray[np.intp] | slice = slice(None),
        columns: npt.NDArray[np.intp] | slice = slice(None),
    ) -> npt.NDArray[np.float32]:
        """Model ``(y, x)`` values to rows and columns of the native slice, linearly.

        Beyond the model grid its border values are repeated; mask the result.
        """
        return _apply((self.up[0][rows], self.up[1][columns]), values)


def _sparse(matrices: list[npt.NDArray]) -> tuple[sparse.csr_array, sparse.csr_array]:
    return sparse.csr_array(matrices[0]), sparse.csr_array(matrices[1])


def _apply(
    matrices: tuple[sparse.csr_array, sparse.csr_array], values: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    return np.ascontiguousarray((matrices[1] @ (matrices[0] @ values).T).T)
