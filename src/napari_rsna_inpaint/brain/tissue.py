"""Limits (HU, mm) that several steps share, and the types of their arrays."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float32]

FAT_HU = -25.0  # below: fat and air
SPUR_MM = 2.0  # half width of the spurs (air cells, clefts in bone) that are cut off
ISLAND_MM2 = 150.0  # smaller islands in one slice are dropped
HOLE_MM2 = 40.0  # smaller holes are filled even when they belong to the skull
