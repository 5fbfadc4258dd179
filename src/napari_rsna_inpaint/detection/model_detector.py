"""What detectors with a trained model of their own share."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel

from napari_rsna_inpaint.detection.calibration import Calibration, load_calibration
from napari_rsna_inpaint.diffusion.model import ImageModelConfig, pick_device
from napari_rsna_inpaint.diffusion.model_folder import find_model, load_config, model_sha256
from napari_rsna_inpaint.errors import InputRefused
from napari_rsna_inpaint.inpaint.resample import ModelGrid
from napari_rsna_inpaint.volume import CTVolume


class ModelDetector:
    """Base of detectors that take a model: finds it, its grid and its calibration.

    Attributes
    ----------
    method
        How its models are trained (``rsna-inpaint train --method``).
    model_config_type
        Their configuration.
    backends
        What can run the network.
    folder, model_config, device
        The model that was found, and where it runs.

    Raises
    ------
    InputRefused
        If model, device or backend is not to be had.
    """

    name: ClassVar[str]
    method: ClassVar[str]
    presets: ClassVar[Mapping[str, BaseModel]]
    model_config_type: ClassVar[type[ImageModelConfig]]
    backends: ClassVar[tuple[str, ...]] = ("torch",)
    finding_heat = 0.5

    def __init__(
        self,
        protocol: str,
        config: Any = None,
        *,
        model: str | Path | None = None,
        device: str = "auto",
        backend: str = "torch",
        batch_size: int | None = None,
    ) -> None:
        if backend not in self.backends:
            raise InputRefused(
                f"The detector {self.name!r} runs by the backend {' or '.join(self.backends)}, "
                f"not by {backend!r}."
            )
        self.protocol = protocol
        self.config = self.presets[protocol] if config is None else config
        self.scale_names: list[float] = []
        self.folder = find_model(model, self.method)
        self.model_config = load_config(self.folder, self.model_config_type)
        self.device = pick_device(device)
        self.backend = backend
        self.batch_size = batch_size

    @functools.cached_property
    def calibration(self) -> Calibration | None:
        """Calibration for the protocol, or for the nearest one that has any."""
        return load_calibration(self.folder, self.name, self.protocol)

    @property
    def pixel_mm(self) -> float:
        """Pixel size of the model grid."""
        return self.model_config.pixel_mm

    def grid(self, volume: CTVolume, outline: npt.NDArray[np.bool_]) -> ModelGrid:
        """Model grid around the brain (see ``Detector``)."""
        return brain_grid(volume, outline[None], self.model_config)

    def provenance(self) -> dict[str, Any]:
        """Model, parameters and device of this detector."""
        calibration = self.calibration
        return {
            "detector": self.name,
            "parameters": self.config.model_dump(mode="json"),
            "model": self.folder.name,
            "model_sha256": model_sha256(self.folder),
            "calibration": None if calibration is None else calibration.protocol,
            "device": str(self.device),
            "backend": self.backend,
            "batch_size": self.batch_size,
        }


def brain_grid(
    volume: CTVolume, mask: npt.NDArray[np.bool_], config: ImageModelConfig
) -> ModelGrid:
    """Model grid around a canonical ``(z, y, x)`` brain mask, as the network needs it."""
    return ModelGrid.around(mask, volume.spacing[1:], config.pixel_mm, divisor=config.divisor)
