"""Which scan a result belongs to, without saying whose it is."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from napari_rsna_inpaint.volume import CTVolume


def input_identity(volume: CTVolume) -> dict[str, Any]:
    """Pseudonymous identity of a series with that of its values, ready for JSON."""
    return {
        "source_id": volume.source_id,
        "pixel_sha256": pixel_sha256(volume),
        "shape": list(volume.hu.shape),
        "spacing_mm": list(volume.spacing),
    }


def pixel_sha256(volume: CTVolume) -> str:
    """SHA-256 of the HU values, slice by slice."""
    digest = hashlib.sha256(str((volume.hu.shape, volume.hu.dtype.str)).encode())
    for plane in volume.hu:
        digest.update(np.ascontiguousarray(plane).tobytes())
    return digest.hexdigest()
