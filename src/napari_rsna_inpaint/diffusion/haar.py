"""The orthonormal Haar wavelet transform of volumes, one level deep.

Written from the definition (Haar 1910): along each axis a pair ``(a, b)`` becomes
``(a + b) / sqrt(2)`` and ``(a - b) / sqrt(2)``. The transform is orthonormal, so standard
normal noise stays standard normal noise in every sub-band, and sums of squares are kept.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor

#: Sub-bands in their order: low (mean) or high (difference) along z, y and x.
SUBBANDS = ("LLL", "LLH", "LHL", "LHH", "HLL", "HLH", "HHL", "HHH")


@functools.cache
def _matrix() -> Tensor:
    """``(8, 8)``: sub-bands of the eight corners of a 2x2x2 cube, corners in array order."""
    pair = torch.tensor([[1.0, 1.0], [1.0, -1.0]], dtype=torch.float64) / 2**0.5
    return torch.kron(torch.kron(pair, pair), pair)


def haar(x: Tensor) -> Tensor:
    """Transform a volume into sub-bands of half its size.

    Parameters
    ----------
    x
        ``(N, C, D, H, W)``; D (z), H (y) and W (x) even.

    Returns
    -------
    ``(N, 8 C, D/2, H/2, W/2)``: for each channel its sub-bands in the order of `SUBBANDS`.

    Raises
    ------
    ValueError
        If a side is odd.
    """
    n, c, d, h, w = x.shape
    if d % 2 or h % 2 or w % 2:
        raise ValueError(f"the sides of a volume must be even, got {(d, h, w)}")
    cubes = x.reshape(n, c, d // 2, 2, h // 2, 2, w // 2, 2)
    corners = cubes.permute(0, 1, 3, 5, 7, 2, 4, 6).reshape(n * c, 8, -1)
    return (_matrix().to(x) @ corners).reshape(n, 8 * c, d // 2, h // 2, w // 2)


def inverse_haar(bands: Tensor) -> Tensor:
    """Put a volume together from its sub-bands: the inverse of `haar`.

    Parameters
    ----------
    bands
        ``(N, 8 C, D, H, W)``.

    Returns
    -------
    ``(N, C, 2 D, 2 H, 2 W)``.
    """
    n, c, d, h, w = bands.shape
    corners = _matrix().T.to(bands) @ bands.reshape(n * c // 8, 8, -1)
    cubes = corners.reshape(n, c // 8, 2, 2, 2, d, h, w).permute(0, 1, 5, 2, 6, 3, 7, 4)
    return cubes.reshape(n, c // 8, 2 * d, 2 * h, 2 * w)
