"""One series on the model grid."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_rsna_inpaint import __version__
from napari_rsna_inpaint.brain import brain_mask
from napari_rsna_inpaint.errors import RsnaInpaintError
from napari_rsna_inpaint.inpaint.resample import ModelGrid
from napari_rsna_inpaint.io import read

if TYPE_CHECKING:
    from napari_rsna_inpaint.diffusion.model import ModelConfig

log = logging.getLogger(__name__)

#: Slices with less brain than this are context only, mm2.
MIN_BRAIN_MM2 = 1000.0
#: Context kept around the brain, mm.
MARGIN_MM = 24.0


@dataclass(frozen=True)
class PreparedSeries:
    """One series on the model grid, z to the head, y posterior, x left.

    Attributes
    ----------
    name
        Name of the series, free of patient identifiers.
    hu
        ``(z, y, x)`` int16 HU, or anything that gives such a slice for ``hu[z]`` and has a
        length.
    brain
        The same, bool.
    usable
        ``(n,)`` indices of the slices that are good enough to train on.
    healthy
        No slice is labelled positive.
    labels
        ``(z,)`` int8, any haemorrhage: 1 yes, 0 no, -1 unknown.
    patient
        Pseudonymous key that all series of one patient share: split by it.
    """

    name: str
    hu: Sequence[npt.NDArray[np.int16]] | npt.NDArray[np.int16]
    brain: Sequence[npt.NDArray[np.bool_]] | npt.NDArray[np.bool_]
    usable: npt.NDArray[np.intp]
    healthy: bool
    labels: npt.NDArray[np.int8]
    patient: str


def prepare(path: Path, config: ModelConfig, cache: Path) -> PreparedSeries | None:
    """Read, mask and resample a series, or take it from the cache.

    Returns None, with a line in the log, where the input is refused or shows no brain.
    """
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    state = [(str(p), p.stat().st_size, p.stat().st_mtime_ns) for p in files]
    recipe = (__version__, config.pixel_mm, MARGIN_MM, state)
    key = hashlib.sha256(repr(recipe).encode()).hexdigest()[:16]
    stored = cache / f"{key}.npz"
    if stored.exists():
        with np.load(stored) as data:
            return _usable(path.name, data["hu"], data["brain"], config)
    try:
        volume = read(path)
    except RsnaInpaintError as error:
        log.warning("%s left out: %s", path.name, error)
        return None
    hu = volume.to_canonical(volume.hu)
    mask = volume.to_canonical(brain_mask(volume))
    if not mask.any():
        log.warning("%s left out: no brain found", path.name)
        return None
    grid = ModelGrid.around(mask, volume.spacing[1:], config.pixel_mm, margin_mm=MARGIN_MM)
    small = np.stack([np.rint(grid.image_to_model(s)).clip(-1024, 3071) for s in hu])
    brain = np.stack([grid.mask_to_model(m) for m in mask])
    cache.mkdir(parents=True, exist_ok=True)
    partial = stored.with_suffix(".tmp.npz")
    np.savez_compressed(partial, hu=small.astype(np.int16), brain=brain)
    partial.replace(stored)
    return _usable(path.name, small.astype(np.int16), brain, config)


def _usable(
    name: str, hu: npt.NDArray[np.int16], brain: npt.NDArray[np.bool_], config: ModelConfig
) -> PreparedSeries:
    area = brain.sum((1, 2)) * config.pixel_mm**2
    return PreparedSeries(
        name,
        hu,
        brain,
        np.flatnonzero(area >= MIN_BRAIN_MM2),
        healthy=True,
        labels=np.full(len(hu), -1, np.int8),
        patient=hashlib.sha256(name.encode()).hexdigest()[:16],
    )
