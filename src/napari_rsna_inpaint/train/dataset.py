"""Training examples, drawn at random from prepared series."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from napari_rsna_inpaint.diffusion.model import Condition, ModelConfig
from napari_rsna_inpaint.errors import InputRefused
from napari_rsna_inpaint.inpaint.resample import AIR_HU
from napari_rsna_inpaint.train.holes import random_hole
from napari_rsna_inpaint.train.prepare import PreparedSeries


class HealthySlices:
    """Random training examples from prepared series.

    Parameters
    ----------
    shape
        ``(y, x)`` of an example on the model grid.
    """

    def __init__(
        self, series: list[PreparedSeries], config: ModelConfig, shape: tuple[int, int]
    ) -> None:
        self._series = series
        self._slices = [(i, int(z)) for i, s in enumerate(series) for z in s.usable]
        if not self._slices:
            raise InputRefused("No slice with enough brain was found in the training data.")
        self._config = config
        self._shape = shape

    def __len__(self) -> int:
        return len(self._slices)

    def batch(self, size: int, rng: np.random.Generator) -> tuple[Condition, Tensor]:
        """``(condition, hu)`` of ``size`` random, augmented slices; ``hu`` is the truth, HU."""
        chosen = rng.integers(len(self._slices), size=size)
        return self.examples([int(i) for i in chosen], rng, augment=True)

    def examples(
        self, indices: list[int], rng: np.random.Generator, *, augment: bool
    ) -> tuple[Condition, Tensor]:
        """The same for given positions in the list of usable slices."""
        stacks = torch.stack([self._stack(i, rng, augment) for i in indices])
        brain = stacks[:, 3:4] > 0.5
        hu = stacks[:, :3]
        if augment:
            hu = _jitter_hu(hu, rng)
        holes = [random_hole(b.numpy(), rng) for b in brain[:, 0]]
        hole = torch.from_numpy(np.stack(holes))[:, None].float()
        encoded = self._config.encode(hu)
        keep = [_neighbour_policy(h, rng) for h in hole]
        present = stacks[:, 4:6, :1, :1]
        condition = Condition(
            image=encoded[:, 1:2],
            hole=hole,
            brain=brain.float(),
            below=encoded[:, 0:1] * torch.stack([k[0] for k in keep]) * present[:, 0:1],
            above=encoded[:, 2:3] * torch.stack([k[1] for k in keep]) * present[:, 1:2],
        )
        return condition, hu[:, 1:2]

    def _stack(self, index: int, rng: np.random.Generator, augment: bool) -> Tensor:
        """``(6, H, W)``: below, slice, above in HU; brain; whether below and above exist."""
        which, z = self._slices[index]
        series = self._series[which]
        last = len(series.hu) - 1
        planes = [series.hu[max(z - 1, 0)], series.hu[z], series.hu[min(z + 1, last)]]
        image = torch.from_numpy(np.stack([*planes, series.brain[z]]).astype(np.float32))
        # grid_sample pads with zeros: let zero stand for air
        image[:3] -= AIR_HU
        image = _transform(image, series.brain[z], self._shape, rng, augment)
        image[:3] += AIR_HU
        present = torch.tensor([float(z > 0), float(z < last)])
        return torch.cat([image, present[:, None, None].expand(2, *self._shape)])


def _transform(
    image: Tensor,
    brain: npt.NDArray[np.bool_],
    shape: tuple[int, int],
    rng: np.random.Generator,
    augment: bool,
) -> Tensor:
    """Cut ``shape`` around the brain's centre; rotated, zoomed, shifted, mirrored at random."""
    center = np.argwhere(brain).mean(0)
    angle, zoom, mirror = 0.0, np.ones(2), 1.0
    if augment:
        angle = rng.normal(0, 0.12)
        zoom = np.exp(rng.normal(0, 0.05) + rng.normal(0, 0.03, 2))
        mirror = rng.choice((-1.0, 1.0))
        center = center + rng.uniform(-10, 10, 2)
    height, width = image.shape[-2:]
    cos, sin = np.cos(angle), np.sin(angle)
    # output pixel (x, y) from the centre -> input pixel, then to grid_sample's -1..1
    linear = np.array([[cos * mirror, -sin], [sin * mirror, cos]]) / zoom[None]
    ys, xs = np.meshgrid(
        np.arange(shape[0]) - (shape[0] - 1) / 2,
        np.arange(shape[1]) - (shape[1] - 1) / 2,
        indexing="ij",
    )
    x = linear[0, 0] * xs + linear[0, 1] * ys + center[1]
    y = linear[1, 0] * xs + linear[1, 1] * ys + center[0]
    where = np.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], -1).astype(np.float32)
    return F.grid_sample(image[None], torch.from_numpy(where)[None], align_corners=False)[0]


def _jitter_hu(hu: Tensor, rng: np.random.Generator) -> Tensor:
    """Calibration differences between scanners and additional noise, per example."""
    n = len(hu)
    gain = torch.from_numpy(rng.normal(1.0, 0.02, (n, 1, 1, 1)).astype(np.float32))
    shift = torch.from_numpy(rng.normal(0.0, 1.5, (n, 1, 1, 1)).astype(np.float32))
    noise = rng.uniform(0.0, 3.0, (n, 1, 1, 1)) * (rng.random((n, 1, 1, 1)) < 0.3)
    texture = torch.from_numpy(rng.standard_normal(hu.shape).astype(np.float32))
    return hu * gain + shift + texture * torch.from_numpy(noise.astype(np.float32))


def _neighbour_policy(hole: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """What is kept of the slices below and above: mostly all but the hole.

    A bleed reaches into the next slices; a network that always saw them whole would copy it
    into the hole.
    """
    cut, whole, nothing = 1 - hole, torch.ones_like(hole), torch.zeros_like(hole)
    kind = rng.random()
    if kind < 0.65:
        return cut, cut
    if kind < 0.8:
        return whole, whole
    if kind < 0.87:
        return nothing, cut
    if kind < 0.94:
        return cut, nothing
    return nothing, nothing
