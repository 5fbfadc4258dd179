"""A detector of another package: what is denser than a limit is hot."""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from pydantic import Field

from napari_rsna_inpaint.detection.base import SliceScores
from napari_rsna_inpaint.detection.config import DetectorConfig
from napari_rsna_inpaint.errors import Cancelled
from napari_rsna_inpaint.inpaint.resample import ModelGrid


class DenseConfig(DetectorConfig):
    normal_hu: float = Field(35.0, ge=0, le=100, description="HU of healthy brain")
    spread_hu: float = Field(20.0, gt=0, le=100, description="HU above it that are fully hot")


class DenseDetector:
    name = "dense"
    title = "Dense tissue"
    summary = "Calls hot what is denser than brain usually is."
    source = "an example"
    presets: ClassVar[Mapping[str, DenseConfig]] = {"fast": DenseConfig()}
    calibration = None  # it decides by itself, so nothing is learned from healthy scans
    finding_heat = 0.5  # a region is a finding where its heat reaches this
    pixel_mm = 1.0

    def __init__(self, protocol, config=None, *, model=None, device="auto", backend="torch",
                 batch_size=None):  # fmt: skip
        self.protocol, self.config = protocol, config or self.presets[protocol]
        self.scale_names: list[float] = []

    def grid(self, volume, outline):
        return ModelGrid.around(outline[None], volume.spacing[1:], self.pixel_mm, divisor=1)

    def run(self, scan, *, indices, seed, on_step=None, cancelled=None):
        for done, z in enumerate(indices, start=1):
            if cancelled is not None and cancelled():
                raise Cancelled
            image, brain = scan.context(z).image, scan.brain(z)
            residual = np.where(brain, image - self.config.normal_hu, 0).astype(np.float32)
            heat = np.clip(residual / self.config.spread_hu, 0, 1)
            if on_step is not None:
                on_step(done, len(indices))
            yield SliceScores(z, residual, np.zeros((0, *image.shape), np.float32), heat=heat)

    def provenance(self):
        return {"detector": self.name, "parameters": self.config.model_dump(mode="json")}
