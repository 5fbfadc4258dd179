"""Training examples, drawn at random from prepared series."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812
from scipy import ndimage
from torch import Tensor

from napari_rsna_inpaint.diffusion.model import Condition, ImageModelConfig
from napari_rsna_inpaint.errors import InputRefused
from napari_rsna_inpaint.inpaint.resample import AIR_HU
from napari_rsna_inpaint.train.holes import random_hole
from napari_rsna_inpaint.train.lesion_outlines import LesionOutlines
from napari_rsna_inpaint.train.prepare import PreparedSeries

#: Width of the Gaussian that makes added noise as correlated as that of real scans (a
#: correlation of 0.2 between neighbours at 1 mm, measured within white matter), mm.
NOISE_SIGMA_MM = 0.5


@dataclass(frozen=True)
class Triplet:
    """A slice with its neighbours on the model grid.

    Attributes
    ----------
    hu
        ``(3, y, x)`` HU: slice below, slice, slice above.
    brain
        ``(y, x)`` bool.
    present
        Whether there is a slice below and one above.
    """

    hu: Tensor
    brain: npt.NDArray[np.bool_]
    present: tuple[bool, bool]

    def condition(
        self,
        hole: npt.NDArray[np.bool_],
        config: ImageModelConfig,
        keep: tuple[Tensor, Tensor] | None = None,
    ) -> Condition:
        """What the network sees with a hole, as a batch of one.

        Parameters
        ----------
        hole
            ``(y, x)`` bool, hole = 1.
        keep
            ``(y, x)`` each, 1 where the slice below and above are shown; without it they
            are shown outside the hole, as in use.
        """
        encoded = config.encode(self.hu)
        hidden = torch.from_numpy(hole).float()
        below, above = keep if keep is not None else (1 - hidden, 1 - hidden)
        planes = {
            "image": encoded[1],
            "hole": hidden,
            "brain": torch.from_numpy(self.brain).float(),
            "below": encoded[0] * below * self.present[0],
            "above": encoded[2] * above * self.present[1],
        }
        return Condition(**{name: plane[None, None] for name, plane in planes.items()})


class HealthySlices:
    """Usable slices of prepared series, and training examples made of them.

    Parameters
    ----------
    shape
        ``(y, x)`` of an example on the model grid.
    outlines
        Lesions whose outlines serve as holes, too.
    """

    def __init__(
        self,
        series: list[PreparedSeries],
        config: ImageModelConfig,
        shape: tuple[int, int],
        outlines: LesionOutlines | None = None,
    ) -> None:
        self._series = series
        self._slices = [(i, int(z)) for i, s in enumerate(series) for z in s.usable]
        if not self._slices:
            raise InputRefused("No slice with enough brain was found in the training data.")
        self._config = config
        self._shape = shape
        self._outlines = outlines

    def __len__(self) -> int:
        return len(self._slices)

    def example(
        self, index: int, rng: np.random.Generator, *, augment: bool
    ) -> tuple[Condition, Tensor]:
        """``(condition, hu)`` with a random hole; ``hu`` ``(1, 1, y, x)`` is the truth."""
        triplet = self.triplet(index, rng if augment else None)
        hole = random_hole(triplet.brain, rng, self._outlines)
        keep = _neighbour_policy(torch.from_numpy(hole).float(), rng)
        return triplet.condition(hole, self._config, keep), triplet.hu[None, 1:2]

    def triplet(self, index: int, rng: np.random.Generator | None = None) -> Triplet:
        """Slice ``index`` with its neighbours; rotated, zoomed, jittered ... if given ``rng``."""
        which, z = self._slices[index]
        series = self._series[which]
        last = len(series.hu) - 1
        planes = [series.hu[max(z - 1, 0)], series.hu[z], series.hu[min(z + 1, last)]]
        image = torch.from_numpy(np.stack([*planes, series.brain[z]]).astype(np.float32))
        # grid_sample pads with zeros: let zero stand for air
        image[:3] -= AIR_HU
        image = _transform(image, series.brain[z], self._shape, rng)
        hu = image[:3] + AIR_HU
        if rng is not None:
            hu = _jitter_hu(hu, NOISE_SIGMA_MM / self._config.pixel_mm, rng)
        return Triplet(hu, (image[3] > 0.5).numpy(), (z > 0, z < last))


def _transform(
    image: Tensor,
    brain: npt.NDArray[np.bool_],
    shape: tuple[int, int],
    rng: np.random.Generator | None,
) -> Tensor:
    """Cut ``shape`` around the brain's centre; rotated, zoomed, shifted, mirrored at random."""
    center = np.argwhere(brain).mean(0)
    angle, zoom, mirror = 0.0, np.ones(2), 1.0
    if rng is not None:
        angle = rng.normal(0, 0.12)
        zoom = np.exp(rng.normal(0, 0.05) + rng.normal(0, 0.03, 2))
        mirror = rng.choice((-1.0, 1.0))
        center = center + rng.uniform(-10, 10, 2)
    return cut_out(image, center, shape, angle, zoom, mirror)


def cut_out(
    image: Tensor,
    center: npt.NDArray[np.floating],
    shape: tuple[int, int],
    angle: float,
    zoom: npt.NDArray[np.floating],
    mirror: float,
) -> Tensor:
    """Cut ``shape`` around a point out of planes; zeros beyond them.

    Parameters
    ----------
    image
        ``(n, y, x)``.
    center
        ``(y, x)`` pixels.
    angle, zoom, mirror
        Rotation in radians, magnification ``(x, y)``, and -1 to swap left and right, else 1.

    Returns
    -------
    ``(n, *shape)``, interpolated linearly.
    """
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


def _jitter_hu(hu: Tensor, noise_sigma: float, rng: np.random.Generator) -> Tensor:
    """Calibration differences between scanners and, now and then, additional noise."""
    gain, shift = rng.normal(1.0, 0.02), rng.normal(0.0, 1.5)
    hu = hu * gain + shift
    if rng.random() >= 0.3:
        return hu
    noise = rng.standard_normal(hu.shape, dtype=np.float32)
    noise = ndimage.gaussian_filter(noise, (0, noise_sigma, noise_sigma))
    return hu + torch.from_numpy(noise * (rng.uniform(0.0, 3.0) / noise.std()))


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
