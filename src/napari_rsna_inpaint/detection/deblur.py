"""Optional sharpening of the sections before a detector looks at them; off unless asked for."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Literal

from pydantic import Field
from torch import Tensor

from napari_rsna_inpaint.detection.config import DetectorConfig
from napari_rsna_inpaint.detection.scan import Scan
from napari_rsna_inpaint.diffusion.deblur import (
    deblur_timesteps,
    diffpir,
    split_excess,
    wiener,
)
from napari_rsna_inpaint.diffusion.kernels import Kernel, gaussian_kernel, motion_kernel
from napari_rsna_inpaint.diffusion.model import ImageModelConfig
from napari_rsna_inpaint.diffusion.samplers import Predict, SeededNoise
from napari_rsna_inpaint.diffusion.schedule import NoiseSchedule
from napari_rsna_inpaint.diffusion.sharpness import extra_sigma_mm

log = logging.getLogger(__name__)

#: Sharp scans are estimated to have up to this, mm: nothing is done about it.
SHARP_MM = 0.6
GUESSED = "The blur was estimated, not known; sharpening by it may alter the anatomy."


class DeblurConfig(DetectorConfig):
    """What the scan is thought to be blurred by, and how that is undone."""

    kind: Literal["off", "gaussian", "motion", "estimate"] = Field(
        "off",
        description="blur to undo: none, one that is known, or a Gaussian estimated from the scan "
        "(may alter the anatomy)",
    )
    sigma_mm: float = Field(1.0, ge=0, le=5, description="sigma of a Gaussian blur, mm")
    length_mm: float = Field(3.0, ge=0, le=30, description="length of a motion, mm")
    angle_deg: float = Field(
        0.0, ge=-180, le=180, description="direction of a motion, degrees from x towards posterior"
    )
    noise_hu: float = Field(
        3.0, ge=0.1, le=50, description="noise of the scan on the model's pixels, HU"
    )
    method: Literal["diffpir", "wiener"] = Field(
        "diffpir", description="with the model as prior, or by the Wiener filter without it"
    )
    steps: int = Field(10, ge=2, le=300, description="network evaluations a section for diffpir")
    prior_weight: float = Field(
        1.0, ge=0.01, le=100, description="weight of the model against the data (lambda)"
    )
    zeta: float = Field(1.0, ge=0, le=1, description="share of fresh noise in every step")
    temperature: float = Field(
        0.0,
        ge=0,
        le=1,
        description="noise of the steps: 1 gives a sample with invented texture, 0 none",
    )

    @property
    def evaluations(self) -> int:
        """Network evaluations a section."""
        return self.steps if self.kind != "off" and self.method == "diffpir" else 0


def blur_kernel(config: DeblurConfig, scan: Scan) -> Kernel | None:
    """Kernel by which a scan is to be sharpened, the same for all of its sections.

    Where it is estimated the log says so.

    Returns
    -------
    None where nothing is to be done, also if the scan is estimated to be as sharp as usual.

    Raises
    ------
    InputRefused
        If the blur cannot be estimated.
    """
    if config.kind == "off":
        return None
    if config.kind == "motion":
        return motion_kernel(config.length_mm, config.angle_deg, scan.pixel_mm)
    sigma = config.sigma_mm
    if config.kind == "estimate":
        contexts = (scan.context(z) for z in scan.with_brain)
        sigma = extra_sigma_mm(((one.image, one.brain) for one in contexts), scan.pixel_mm)
        if sigma < SHARP_MM:
            log.info("The scan is as sharp as usual and is left as it is.")
            return None
        log.warning("%s Its sigma is about %.1f mm.", GUESSED, sigma)
    return gaussian_kernel(sigma, scan.pixel_mm)


def sharpen(
    hu: Tensor,
    kernel: Kernel,
    config: DeblurConfig,
    model: ImageModelConfig,
    schedule: NoiseSchedule,
    predict: Predict,
    seeds: Sequence[int],
) -> Tensor:
    """Undo a blur.

    Parameters
    ----------
    hu
        ``(N, 1, y, x)`` HU on the model grid, not clipped.
    predict
        Unconditional v-prediction of the model; not called for the Wiener filter.
    seeds
        ``N``, one of each image.

    Returns
    -------
    ``(N, 1, y, x)`` HU. Bone and air are sharpened by the Wiener filter.
    """
    window = model.hu_window
    inside, excess = split_excess(hu, kernel, config.noise_hu, window)
    if config.method == "wiener":
        return wiener(inside, kernel, config.noise_hu).clamp(*window) + excess
    # not `encode`, which would clip the noise on one side
    low, high = ((limit - model.hu_center) / model.hu_scale for limit in window)
    x0 = diffpir(
        predict,
        (inside - model.hu_center) / model.hu_scale,
        kernel,
        schedule,
        deblur_timesteps(schedule, config.steps),
        sigma=config.noise_hu / model.hu_scale,
        weight=config.prior_weight,
        zeta=config.zeta,
        temperature=config.temperature,
        bounds=(low, high),
        noise=SeededNoise(seeds),
    )
    return model.decode(x0) + excess
