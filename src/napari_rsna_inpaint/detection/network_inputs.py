"""What the network is fed in use, for quantizing it."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from napari_rsna_inpaint.brain import packed_brain_mask
from napari_rsna_inpaint.detection.grid import protocol_holes
from napari_rsna_inpaint.detection.model_detector import brain_grid
from napari_rsna_inpaint.detection.scan import Scan
from napari_rsna_inpaint.diffusion.model import BatchedDenoiser, Condition
from napari_rsna_inpaint.diffusion.onnx_int8 import NetworkCall
from napari_rsna_inpaint.errors import InputRefused
from napari_rsna_inpaint.inpaint.engine import Job, complete, job_seed
from napari_rsna_inpaint.inpaint.protocols import PROTOCOLS
from napari_rsna_inpaint.volume import CTVolume


class _Recorder:
    """A denoiser that remembers what it was asked."""

    def __init__(self, denoiser: BatchedDenoiser) -> None:
        self.config, self.device = denoiser.config, denoiser.device
        self.calls: list[NetworkCall] = []
        self._denoiser = denoiser

    def __call__(self, x_t: Tensor, t: int, condition: Condition) -> Tensor:
        self.calls.append((condition.network_input(x_t).cpu().numpy(), t))
        return self._denoiser(x_t, t, condition)


def network_inputs(
    volume: CTVolume, denoiser: BatchedDenoiser, *, n_slices: int = 4, seed: int = 0
) -> list[NetworkCall]:
    """Record the network calls of the ``full`` protocol on some holes of some slices.

    Raises
    ------
    InputRefused
        If there is no brain in the volume.
    """
    volume = volume.finite()
    mask = packed_brain_mask(volume)
    config, protocol = denoiser.config, PROTOCOLS["full"]
    grid = brain_grid(volume, mask.outline()[None], config)
    scan = Scan(volume, mask, grid, config.pixel_mm)
    if not scan.with_brain:
        raise InputRefused("No brain was found in this series; is it an axial head CT?")
    rng = np.random.default_rng(seed)
    jobs = []
    # not the ends, where there is little brain
    for place in np.linspace(0.15, 0.85, n_slices):
        z = scan.with_brain[int(place * len(scan.with_brain))]
        context = scan.context(z)
        holes = list(protocol_holes(context.brain, protocol, config.pixel_mm))
        for number in rng.choice(len(holes), min(4, len(holes)), replace=False):
            hole = holes[number]
            jobs.append(Job(context, hole.mask, job_seed(seed, z, hole.number), hole.scale))
    recorder = _Recorder(denoiser)
    for _ in complete(jobs, recorder, protocol.sampling, batch_size=4):
        pass
    return recorder.calls
