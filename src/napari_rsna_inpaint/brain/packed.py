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
        self._bits = [np.packbits(plane) for plane in planes]
        if len(self._bits) != shape[0]:
            raise ValueError(f"{len(self._bits)} planes for {shape[0]} slices")

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, z: int) -> BoolArray:
        return self._unpacked(self._bits[z])

    def outline(self) -> BoolArray:
        """Pixels ``(y, x)`` that belong to the mask in any slice."""
        _, height, width = self.shape
        nowhere = np.packbits(np.zeros(height * width, bool))
        return self._unpacked(np.bitwise_or.reduce([nowhere, *self._bits]))

    def _unpacked(self, bits: npt.NDArray[np.uint8]) -> BoolArray:
        _, height, width = self.shape
        return np.unpackbits(bits, count=height * width).view(bool).reshape(height, width)
