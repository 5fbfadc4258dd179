"""Run a detector over healthy scans and learn what it leaves behind there."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from napari_rsna_inpaint.brain import brain_mask
from napari_rsna_inpaint.detection.calibration import (
    Calibration,
    HealthyPixels,
    fit_calibration,
)
from napari_rsna_inpaint.detection.grid import GridDetector
from napari_rsna_inpaint.detection.heatmap import bone_distance, healthy_pixels
from napari_rsna_inpaint.errors import RsnaInpaintError
from napari_rsna_inpaint.io import read
from napari_rsna_inpaint.volume import CTVolume

log = logging.getLogger(__name__)


def calibrate(
    paths: Iterable[Path],
    detector: GridDetector,
    *,
    seed: int = 0,
    on_scan: Callable[[str], None] | None = None,
) -> Calibration:
    """Healthy distribution of a detector's residual, from scans it was not trained on.

    Parameters
    ----------
    paths
        One healthy scan each. Those that are refused are left out with a line in the log.
    on_scan
        Called with the name of each finished scan.

    Raises
    ------
    InputRefused
        If no scan could be used.
    """
    slices: list[HealthyPixels] = []
    n_scans = 0
    for path in paths:
        try:
            volume = read(path)
        except RsnaInpaintError as error:
            log.warning("%s left out: %s", path.name, error)
            continue
        found = list(healthy_slices(volume, detector, seed=seed))
        slices += found
        n_scans += bool(found)
        if on_scan is not None:
            on_scan(path.name)
    return fit_calibration(slices, protocol=detector.protocol, n_scans=n_scans)


def healthy_slices(
    volume: CTVolume, detector: GridDetector, *, seed: int = 0
) -> Iterator[HealthyPixels]:
    """Brain pixels of every slice of one scan with their residual."""
    mask = volume.to_canonical(brain_mask(volume))
    grid = detector.grid(volume, mask)
    pixel_mm = detector.pixel_mm
    distance = bone_distance(volume, mask, grid, pixel_mm)
    hu = volume.to_canonical(volume.hu)
    for scores in detector.run(volume, mask, indices=grid.slices_with(mask), seed=seed):
        z = scores.index
        brain = grid.mask_to_model(mask[z])
        yield healthy_pixels(
            scores.residual, grid.image_to_model(hu[z]), brain, distance[z], pixel_mm
        )
