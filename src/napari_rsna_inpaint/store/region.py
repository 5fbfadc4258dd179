"""A region that a reader drew, small enough for one line of JSON."""

from __future__ import annotations

import base64
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt


def pack_region(mask: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """Pack a mask.

    Parameters
    ----------
    mask
        ``(z, y, x)`` bool on the grid of the scan.

    Returns
    -------
    dict
        ``shape`` of the scan; ``box`` ``[z0, y0, x0, z1, y1, x1]`` (ends excluded) around the
        region; ``bits``, the mask inside the box, eight voxels a byte, by zlib and base64.
    """
    where = np.argwhere(mask)
    low = where.min(0) if len(where) else np.zeros(3, int)
    high = where.max(0) + 1 if len(where) else np.zeros(3, int)
    inside = mask[tuple(map(slice, low, high))]
    bits = zlib.compress(np.packbits(inside).tobytes())
    return {
        "shape": list(mask.shape),
        "box": [*low.tolist(), *high.tolist()],
        "bits": base64.b64encode(bits).decode(),
    }


def unpack_region(region: dict[str, Any]) -> npt.NDArray[np.bool_]:
    """The mask ``(z, y, x)`` that `pack_region` packed."""
    low, high = region["box"][:3], region["box"][3:]
    size = np.subtract(high, low)
    bits = np.frombuffer(zlib.decompress(base64.b64decode(region["bits"])), np.uint8)
    mask = np.zeros(region["shape"], bool)
    inside = np.unpackbits(bits, count=int(size.prod())).reshape(size)
    mask[tuple(map(slice, low, high))] = inside
    return mask
