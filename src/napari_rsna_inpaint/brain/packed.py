"""A mask in an eighth of the memory: series of a thousand slices are opened too."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from napari_rsna_inpaint.brain.tissue import BoolArray


class PackedMask:
    """A ``(z, y, x)`` mask with eight pixels a byte; ``mask[z]`` is a plane ``(y, x)`` bool."""

    def __init__(self, planes: Iterable[BoolArray], shape: tuple[int, int, int]) -> None:
        self.shape = shape
        self._plane = (shape[1], shape[2])
        self._bits = [np.packbits(plane) for plane in planes]
        if len(self._bits) != shape[0]:
            raise ValueError(f"{len(self._bits)} planes for {shape[0]} slices")

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, z: int) -> BoolArray:
        n = self._plane[0] * self._plane[1]
        return np.unpackbits(self._bits[z], count=n).view(bool).reshape(self._plane)

    def outline(self) -> BoolArray:
        """Pixels ``(y, x)`` that belong to the mask in any slice."""
        empty = np.zeros_like(np.packbits(np.zeros(self._plane, bool)))
        bits = np.bitwise_or.reduce([empty, *self._bits])
        n = self._plane[0] * self._plane[1]
        return np.unpackbits(bits, count=n).view(bool).reshape(self._plane)

    def to_array(self) -> npt.NDArray[np.bool_]:
        """The whole mask, ``(z, y, x)`` bool."""
        out = np.empty(self.shape, bool)
        for z in range(len(self)):
            out[z] = self[z]
        return out
