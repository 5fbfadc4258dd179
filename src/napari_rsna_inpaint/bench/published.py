"""The published protocol and networks of the size that it was run with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from napari_rsna_inpaint.bench.clock import timed
from napari_rsna_inpaint.bench.counting import gflop

#: Sizes, offsets and phases of the grid of squares, and steps of DDIM.
SIZES, OFFSETS, PHASES, STEPS = 4, 4, 9, 50
EVALUATIONS = SIZES * OFFSETS * PHASES * STEPS
SIDE_PX = 256
#: Noisy image, slice, brain mask and two neighbours in; velocity and variance out.
_CHANNELS = {"in_channels": 5, "out_channels": 2}


@dataclass(frozen=True)
class PublishedNetwork:
    """Channels of the levels, finest first, and how the resolution changes between them."""

    name: str
    channels: tuple[int, ...]
    resample: str


#: The library's default, and the configuration that was published with the protocol. Both
#: have attention at 32, 16 and 8 pixels and in the middle, and two blocks a level.
NETWORKS = (
    PublishedNetwork("Mediffusion's default", (128, 128, 256, 256, 512, 512), "conv"),
    PublishedNetwork("its own network", (64, 128, 128, 256, 256, 512, 512), "resnet"),
)


@dataclass(frozen=True)
class PublishedRow:
    """One slice by the published protocol with one network of random weights.

    Attributes
    ----------
    parameters, gflop_per_evaluation
        Of the network, at 256 x 256 pixels.
    evaluations, gflop
        Of the slice.
    seconds
        Time of ``measured_evaluations``, multiplied.
    """

    network: str
    parameters: int | None = None
    gflop_per_evaluation: float | None = None
    evaluations: int = EVALUATIONS
    gflop: float | None = None
    seconds: float | None = None
    measured_evaluations: int | None = None
    note: str = ""


def measure_published(network: PublishedNetwork, *, measured_evaluations: int) -> PublishedRow:
    """Run a part of the evaluations, one image at a time, on the CPU in float32."""
    try:
        with torch.device("meta"):
            built = _build(network)
            image = torch.zeros(1, _CHANNELS["in_channels"], SIDE_PX, SIDE_PX)
            per_evaluation = gflop(lambda: built(image, torch.tensor(500)))
    except ImportError:
        return PublishedRow(network.name, note="diffusers is not installed")
    model = _build(network).eval().to(memory_format=torch.channels_last)
    inputs = torch.randn(1, _CHANNELS["in_channels"], SIDE_PX, SIDE_PX)

    @torch.inference_mode()
    def evaluate(n: int) -> None:
        for t in range(n):
            model(inputs, t)

    evaluate(1)
    seconds, _ = timed(lambda: evaluate(measured_evaluations))
    return PublishedRow(
        network.name,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        gflop_per_evaluation=per_evaluation,
        gflop=EVALUATIONS * per_evaluation,
        seconds=seconds / measured_evaluations * EVALUATIONS,
        measured_evaluations=measured_evaluations,
    )


def _build(network: PublishedNetwork) -> Any:
    from diffusers import UNet2DModel

    n = len(network.channels)
    attention = [8 <= 2**level <= 32 for level in range(n)]
    down = ["AttnDownBlock2D" if there else "DownBlock2D" for there in attention]
    up = ["AttnUpBlock2D" if there else "UpBlock2D" for there in reversed(attention)]
    return UNet2DModel(
        sample_size=SIDE_PX,
        **_CHANNELS,
        block_out_channels=network.channels,
        layers_per_block=2,
        down_block_types=tuple(down),
        up_block_types=tuple(up),
        attention_head_dim=64,
        downsample_type=network.resample,
        upsample_type=network.resample,
        resnet_time_scale_shift="scale_shift",
    )
