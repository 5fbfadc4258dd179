"""Ways to complete the same holes of the same slice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from napari_rsna_inpaint.bench import diffusers_samplers
from napari_rsna_inpaint.bench.subject import FloatImages, HiddenSlice
from napari_rsna_inpaint.detection.region import REGION_SAMPLING
from napari_rsna_inpaint.diffusion.model import Condition
from napari_rsna_inpaint.inpaint.engine import Denoiser, complete, evaluations_per_job
from napari_rsna_inpaint.inpaint.protocols import PROTOCOLS, Sampling

#: ``(slice, denoiser) -> (n, y, x)`` completions in HU, one a phase.
Fill = Callable[[HiddenSlice, Denoiser], FloatImages]

REPAINT = "diffusers: RePaint 250/10/10"
MASKED_DDIM = "diffusers: masked DDIM 50"


@dataclass(frozen=True)
class Method:
    """One way to complete a slice.

    Attributes
    ----------
    evaluations
        Of the network, for one completion; 0 without a network.
    package, module
        What must be installed, if anything, and how it is imported.
    """

    name: str
    evaluations: int
    fill: Fill
    package: str = ""
    module: str = ""


def methods() -> list[Method]:
    """All of them, in the order of the table."""
    full = PROTOCOLS["full"].sampling
    return [
        _ours("ours: one step (sweep)", Sampling()),
        _ours(f"ours: DPM++ {full.steps} (full)", full),
        _ours(f"ours: DPM++ {REGION_SAMPLING.steps} (region)", REGION_SAMPLING),
        _ours("ours: DDIM 50", Sampling(method="ddim", steps=50)),
        _diffusers_repaint(REPAINT, 250, 10, 10),
        _diffusers_repaint("diffusers: RePaint 50/10/2", 50, 10, 2),
        Method(MASKED_DDIM, 50, _masked_ddim, "diffusers", "diffusers"),
        Method("scikit-image: biharmonic", 0, _biharmonic),
        Method("OpenCV: Telea, 8 bits", 0, _telea, "opencv-python-headless", "cv2"),
    ]


def _ours(name: str, sampling: Sampling) -> Method:
    def fill(hidden: HiddenSlice, denoiser: Denoiser) -> FloatImages:
        jobs = hidden.jobs
        results = complete(jobs, denoiser, sampling, batch_size=len(jobs))
        return np.stack([completion for _, completion in results])

    return Method(name, evaluations_per_job(sampling), fill)


def _diffusers_repaint(name: str, steps: int, jump_length: int, n_resample: int) -> Method:
    def fill(hidden: HiddenSlice, denoiser: Denoiser) -> FloatImages:
        condition = conditions(hidden, denoiser)
        x0 = diffusers_samplers.repaint(
            lambda x, t: denoiser(x, t, condition),
            condition,
            denoiser.config.schedule(),
            steps=steps,
            jump_length=jump_length,
            n_resample=n_resample,
        )
        return _images(x0, denoiser)

    evaluations = diffusers_samplers.repaint_evaluations(steps, jump_length, n_resample)
    return Method(name, evaluations, fill, "diffusers", "diffusers")


def _masked_ddim(hidden: HiddenSlice, denoiser: Denoiser) -> FloatImages:
    condition = conditions(hidden, denoiser)
    x0 = diffusers_samplers.masked_ddim(
        lambda x, t: denoiser(x, t, condition), condition, denoiser.config.schedule(), steps=50
    )
    return _images(x0, denoiser)


def _images(x0: Tensor, denoiser: Denoiser) -> FloatImages:
    return denoiser.config.decode(x0)[:, 0].cpu().numpy()


def _biharmonic(hidden: HiddenSlice, denoiser: Denoiser) -> FloatImages:
    from skimage.restoration import inpaint_biharmonic

    image = np.clip(hidden.context.image, *denoiser.config.hu_window)
    filled = [inpaint_biharmonic(image, hole) for hole in hidden.holes]
    return np.stack(filled).astype(np.float32)


def _telea(hidden: HiddenSlice, denoiser: Denoiser) -> FloatImages:
    """In 8 bits, as it is mostly used: the model's HU window in 256 levels."""
    import cv2

    low, high = denoiser.config.hu_window
    scale = 255 / (high - low)
    levels = np.clip(np.rint((hidden.context.image - low) * scale), 0, 255).astype(np.uint8)
    filled = [cv2.inpaint(levels, h.astype(np.uint8), 3, cv2.INPAINT_TELEA) for h in hidden.holes]
    return (np.stack(filled) / scale + low).astype(np.float32)


class _Asked:
    """Stands in for a denoiser and keeps what it is asked."""

    def __init__(self, denoiser: Denoiser) -> None:
        self.config, self.device = denoiser.config, denoiser.device
        self.condition: Condition | None = None

    def __call__(self, x_t: Tensor, t: int, condition: Condition) -> Tensor:
        self.condition = condition
        return torch.zeros_like(x_t)


def conditions(hidden: HiddenSlice, denoiser: Denoiser) -> Condition:
    """What ``complete`` shows the network of a slice, one image a phase."""
    asked = _Asked(denoiser)
    jobs = hidden.jobs
    for _ in complete(jobs, asked, Sampling(), batch_size=len(jobs)):
        pass
    assert asked.condition is not None
    return asked.condition
