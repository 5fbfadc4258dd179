"""Detector ``b2``: how far HU are from healthy brain at the same distance to bone; no network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from napari_rsna_inpaint.detection.base import OnStep, SliceScores
from napari_rsna_inpaint.detection.calibration import load_calibration
from napari_rsna_inpaint.detection.config import DetectorConfig
from napari_rsna_inpaint.detection.filters import median_hu
from napari_rsna_inpaint.detection.model_detector import ModelDetector
from napari_rsna_inpaint.detection.norms import DISTANCES_MM
from napari_rsna_inpaint.detection.scan import Scan
from napari_rsna_inpaint.diffusion.model import ModelConfig
from napari_rsna_inpaint.errors import Cancelled


class B2Config(DetectorConfig):
    """There is nothing to choose."""


class B2Detector(ModelDetector):
    """Takes the median HU of healthy brain for the healthy completion.

    The medians by distance to bone come from the calibration of the detector ``grid`` with the
    same model; of the model itself only the pixel size is used.
    """

    name = "b2"
    title = "Normative HU (no network)"
    summary = (
        "Compares the median-filtered HU with those of healthy brain at the same distance to bone. "
        "A cheap reference that every network should beat."
    )
    source = "baseline of this project: HU norms from healthy scans"
    method = "grid"
    presets: ClassVar = {name: B2Config() for name in ("interactive", "fast", "full", "reference")}
    model_config_type = ModelConfig
    config: B2Config

    def __init__(
        self,
        protocol: str,
        config: B2Config | None = None,
        *,
        model: str | Path | None = None,
        device: str = "auto",
        backend: str = "torch",
        batch_size: int | None = None,
    ) -> None:
        super().__init__(
            protocol, config, model=model, device=device, backend=backend, batch_size=batch_size
        )
        self._healthy = load_calibration(self.folder, "grid", protocol).norms.hu.median

    def run(
        self,
        scan: Scan,
        *,
        indices: Sequence[int],
        seed: int,
        on_step: OnStep | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Iterator[SliceScores]:
        """Yield every section; one step each, though no network is called (see ``Detector``)."""
        for done, z in enumerate(indices, start=1):
            if cancelled is not None and cancelled():
                raise Cancelled
            context = scan.context(z)
            healthy = np.interp(scan.bone_distance(z), DISTANCES_MM, self._healthy)
            residual = median_hu(context.image, context.brain, self.pixel_mm) - healthy
            inside = np.where(context.brain, residual, 0).astype(np.float32)
            if on_step is not None:
                on_step(done, len(indices))
            yield SliceScores(z, inside, np.zeros((0, *inside.shape), np.float32))
