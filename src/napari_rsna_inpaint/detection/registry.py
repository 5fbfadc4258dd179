"""Installed detectors, found by their entry points."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from napari_rsna_inpaint.detection.base import Detector
from napari_rsna_inpaint.detection.config import changed
from napari_rsna_inpaint.detection.names import ENTRY_POINT_GROUP
from napari_rsna_inpaint.errors import InputRefused


def load_detector(name: str) -> type[Detector]:
    """Class of an installed detector; most need torch, which takes seconds to load.

    Raises
    ------
    InputRefused
        If there is none of this name, or its module cannot be loaded.
    """
    found = {point.name: point for point in entry_points(group=ENTRY_POINT_GROUP)}
    if name not in found:
        raise InputRefused(f"Unknown detector {name!r}; installed: {', '.join(sorted(found))}.")
    try:
        return found[name].load()
    except (ImportError, AttributeError) as error:
        raise InputRefused(
            f"The detector {name!r} cannot be loaded ({error}); install its package anew."
        ) from error


def make_detector(
    name: str,
    protocol: str = "fast",
    parameters: Mapping[str, Any] | None = None,
    *,
    model: str | Path | None = None,
    device: str = "auto",
    backend: str = "torch",
    batch_size: int | None = None,
) -> Detector:
    """Detector with the parameters of a protocol, some of them changed.

    Parameters
    ----------
    parameters
        See `config.changed`.

    Raises
    ------
    InputRefused
        If detector, protocol, parameter, model, device or backend is not to be had.
    """
    kind = load_detector(name)
    if protocol not in kind.presets:
        raise InputRefused(
            f"The detector {name!r} has no protocol {protocol!r}; choose {', '.join(kind.presets)}."
        )
    config = changed(kind.presets[protocol], parameters or {})
    return kind(
        protocol, config, model=model, device=device, backend=backend, batch_size=batch_size
    )
