"""Names of what can be chosen, without loading torch."""

from __future__ import annotations

from importlib.metadata import entry_points

ENTRY_POINT_GROUP = "napari_rsna_inpaint.detectors"
#: Those whose models can complete a region: slice by slice, or in three dimensions.
REGION_DETECTORS = ("grid", "wavelet3d")


def detectors() -> list[str]:
    """Names of the installed detectors."""
    return sorted({point.name for point in entry_points(group=ENTRY_POINT_GROUP)})


def protocols() -> dict[str, str]:
    """Names of the protocols, each with a line on what it does."""
    return {
        "interactive": "quickest look: 1 square size, 1 grid, one step",
        "fast": "1 square size, 2 half-shifted grids, one step (default)",
        "full": "4 square sizes, 2 half-shifted grids, sampled in 4 steps",
        "reference": "the published protocol: 4 sizes, 4 grids, 9 phases, DDIM 50 steps (slow)",
    }
