"""Find what a diffusion model of healthy brains would not have drawn in a head CT.

Research software, not a medical device.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

#: Comes with every start and every export.
STATEMENT = "Research software, not a medical device; not for diagnosis."

# PyTorch's threads wait for each other by spinning. Beside other busy threads, such as those of the
# viewer, that made a detection nearly three times as long; spinning briefly costs 1 % on an idle
# machine. GNU OpenMP reads it once, when PyTorch is loaded.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "50000")

if TYPE_CHECKING:
    from napari_rsna_inpaint.detection.region import reinpaint
    from napari_rsna_inpaint.detection.result import Detection
    from napari_rsna_inpaint.detection.run import detect
    from napari_rsna_inpaint.io import read
    from napari_rsna_inpaint.volume import CTVolume

__all__ = ["CTVolume", "Detection", "__version__", "detect", "read", "reinpaint"]

_HOMES = {
    "CTVolume": "volume",
    "read": "io",
    "Detection": "detection.result",
    "detect": "detection.run",
    "reinpaint": "detection.region",
}


def __getattr__(name: str) -> Any:
    """Import on first use, so that a command that only reads does not load torch."""
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
