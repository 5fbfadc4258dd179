"""One evaluation of the network by every backend, in rounds."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from napari_rsna_inpaint.bench.clock import timed
from napari_rsna_inpaint.diffusion import BACKENDS
from napari_rsna_inpaint.diffusion.model import (
    BatchedDenoiser,
    Condition,
    ModelConfig,
    load_denoiser,
    load_network,
)
from napari_rsna_inpaint.diffusion.model_folder import load_config
from napari_rsna_inpaint.errors import InputRefused

EAGER = "PyTorch as it is, float32"
#: Of the training timesteps at which outputs are compared: pure noise to nearly clean.
_COMPARED = (1.0, 0.7, 0.3)


@dataclass(frozen=True)
class NetworkTime:
    """Median time of one call, and the share of it that one image has.

    ``times_faster`` is the ratio to ``EAGER`` with one image.
    """

    shape: tuple[int, int]
    images: int
    ms_per_image: float
    times_faster: float


@dataclass(frozen=True)
class NetworkRow:
    """One way to run the network.

    Attributes
    ----------
    relative_error
        Root mean square difference of v from ``EAGER`` in the holes, over that of v.
    note
        Why there are no figures.
    """

    backend: str
    runtime: str = ""
    times: tuple[NetworkTime, ...] = ()
    relative_error: float | None = None
    note: str = ""


def measure_network(
    folder: Path,
    condition: Condition,
    shapes: Sequence[tuple[int, int]],
    *,
    images: Sequence[int] = (1, 8),
    device: str = "cpu",
    repeats: int,
) -> list[NetworkRow]:
    """Time every backend that can be loaded here, side by side.

    Parameters
    ----------
    condition
        What the network sees of a real slice, for the errors; the times are of noise.
    images
        Images a call, first 1.
    """
    config = load_config(folder, ModelConfig)
    denoisers: dict[str, BatchedDenoiser] = {}
    notes: dict[str, str] = {}
    for backend in BACKENDS:
        try:
            denoisers[backend] = load_denoiser(folder, device=device, backend=backend)
        except InputRefused as error:
            # the remedy names the model's folder, which a report of speed shall not
            notes[backend] = str(error).partition(";")[0].rstrip(".")
    place = torch.device(device)
    network = load_network(folder, config).to(place)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @torch.inference_mode()
    def eager(x: Tensor, t: int, condition: Condition) -> Tensor:
        inputs = condition.network_input(x).to(memory_format=torch.channels_last)
        return network(inputs, torch.full((len(x),), t, device=place))

    ways: dict[str, Callable[[Tensor, int, Condition], Tensor]] = {EAGER: eager, **denoisers}
    medians: dict[tuple[str, tuple[int, int], int], float] = {}
    for shape in shapes:
        for n in images:
            ms = _rounds(ways, shape, n, place, repeats)
            medians |= {(name, shape, n): value for name, value in ms.items()}
    runtimes = {name: denoiser.runtime for name, denoiser in denoisers.items()}
    return [
        NetworkRow(
            name,
            runtimes.get(name, f"torch {torch.__version__}"),
            tuple(
                NetworkTime(
                    shape,
                    n,
                    medians[name, shape, n],
                    medians[EAGER, shape, 1] / medians[name, shape, n],
                )
                for shape in shapes
                for n in images
            ),
            relative_error(ways[name], eager, condition.to(place), config.n_timesteps),
        )
        if name in ways
        else NetworkRow(name, note=notes[name])
        for name in (EAGER, *BACKENDS)
    ]


def relative_error(
    way: Callable[[Tensor, int, Condition], Tensor],
    reference: Callable[[Tensor, int, Condition], Tensor],
    condition: Condition,
    n_timesteps: int,
) -> float:
    """Root mean square difference of v in the holes relative to the reference."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(condition.hole.shape, generator=generator).to(condition.hole.device)
    error = size = 0.0
    for part in _COMPARED:
        t = round(part * n_timesteps) - 1
        v = reference(noise, t, condition) * condition.hole
        difference = way(noise, t, condition) * condition.hole - v
        error += float(difference.double().square().sum())
        size += float(v.double().square().sum())
    return (error / size) ** 0.5


def _rounds(
    ways: dict[str, Callable[[Tensor, int, Condition], Tensor]],
    shape: tuple[int, int],
    n: int,
    place: torch.device,
    repeats: int,
) -> dict[str, float]:
    """Median ms an image of every way, one call of each in every round."""
    x, *parts = torch.randn(6, n, 1, *shape, generator=torch.Generator().manual_seed(0)).to(place)
    condition = Condition(*parts)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(repeats + 1):
        for name, way in ways.items():
            took, _ = timed(lambda way=way: way(x, 500, condition), place)  # type: ignore[misc]
            if number:  # the first round warms up
                seconds[name].append(took)
    return {name: 1000 * statistics.median(values) / n for name, values in seconds.items()}
