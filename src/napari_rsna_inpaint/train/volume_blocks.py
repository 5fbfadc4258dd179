"""Blocks of sections for training, drawn at random from prepared series."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from napari_rsna_inpaint.diffusion.wavelet_model import VolumeCondition, WaveletModelConfig
from napari_rsna_inpaint.errors import InputRefused
from napari_rsna_inpaint.inpaint.resample import AIR_HU
from napari_rsna_inpaint.train.dataset import NOISE_SIGMA_MM, _jitter_hu, cut_out
from napari_rsna_inpaint.train.prepare import PreparedSeries

#: A series of fewer sections is no volume.
MIN_SECTIONS = 6


@dataclass(frozen=True)
class TissueBlock:
    """A part of a series on the model grid; air beyond its ends.

    Attributes
    ----------
    hu
        ``(z, y, x)`` float32 HU.
    brain, unhealthy
        ``(z, y, x)`` bool; ``unhealthy`` where a lesion is known.
    """

    hu: npt.NDArray[np.float32]
    brain: npt.NDArray[np.bool_]
    unhealthy: npt.NDArray[np.bool_]

    def condition(
        self, hole: npt.NDArray[np.bool_], config: WaveletModelConfig
    ) -> tuple[VolumeCondition, torch.Tensor]:
        """What the network may know, and where its prediction counts.

        Unhealthy tissue is taken out of the image and belongs to the hole, as it does when
        lesions are completed, but what is predicted there does not count.

        Parameters
        ----------
        hole
            ``(z, y, x)`` bool, hole = 1.

        Returns
        -------
        A batch of one, and ``(1, 1, z, y, x)``: 1 where it counts. In the mode ``default``
        nothing is known, so that all healthy tissue counts.
        """

        def tensor(volume: npt.NDArray) -> torch.Tensor:
            return torch.from_numpy(volume.astype(np.float32))[None, None]

        healthy = tensor(~self.unhealthy)
        counts = healthy if config.mode == "default" else healthy * tensor(hole)
        condition = VolumeCondition(
            config.encode(tensor(self.hu)) * healthy,
            tensor(hole | self.unhealthy),
            tensor(self.brain),
        )
        return condition, counts


class HealthyBlocks:
    """Blocks around the usable sections of prepared series.

    Parameters
    ----------
    shape
        ``(y, x)`` of a block on the model grid.

    Raises
    ------
    InputRefused
        If no series has enough sections.
    """

    def __init__(
        self,
        series: list[PreparedSeries],
        config: WaveletModelConfig,
        shape: tuple[int, int],
    ) -> None:
        self._series = [one for one in series if len(one.hu) >= MIN_SECTIONS]
        self._sections = [(i, int(z)) for i, s in enumerate(self._series) for z in s.usable]
        if not self._sections:
            raise InputRefused(
                f"No series of at least {MIN_SECTIONS} sections with enough brain was found in "
                "the training data."
            )
        self._config = config
        self._shape = shape

    def __len__(self) -> int:
        return len(self._sections)

    def block(self, index: int, rng: np.random.Generator | None = None) -> TissueBlock:
        """Block around usable section ``index``; rotated, zoomed, jittered ... if given ``rng``.

        With ``rng`` the section lies anywhere in the block and the block's centre anywhere in
        the brain; without, both are in the middle.
        """
        which, z = self._sections[index]
        series = self._series[which]
        depth = self._config.block_sections
        start = z - (depth // 2 if rng is None else int(rng.integers(depth)))
        planes = range(max(0, start), min(len(series.hu), start + depth))
        hu = np.stack([series.hu[k] for k in planes]).astype(np.float32) - AIR_HU
        brain = np.stack([series.brain[k] for k in planes])
        unhealthy = np.zeros_like(brain)
        if series.unhealthy is not None:
            unhealthy = np.stack([series.unhealthy[k] for k in planes])
        # cut_out fills up with zeros: let zero stand for air
        stacked = torch.from_numpy(np.concatenate([hu, brain, unhealthy]).astype(np.float32))
        cut = _placed(stacked, series.brain[z], self._shape, rng)
        hu_cut, brain_cut, unhealthy_cut = cut.split(len(planes))
        hu_cut = hu_cut + AIR_HU
        if rng is not None:
            hu_cut = _jitter_hu(hu_cut, NOISE_SIGMA_MM / self._config.pixel_mm, rng)
        ends = [(planes.start - start, start + depth - planes.stop), (0, 0), (0, 0)]
        return TissueBlock(
            np.pad(hu_cut.numpy(), ends, constant_values=AIR_HU),
            np.pad(brain_cut.numpy() > 0.5, ends),
            np.pad(unhealthy_cut.numpy() > 0, ends),
        )


def _placed(
    planes: torch.Tensor,
    brain: npt.NDArray[np.bool_],
    shape: tuple[int, int],
    rng: np.random.Generator | None,
) -> torch.Tensor:
    """Cut ``shape`` out around the middle of the brain, or at random as `HealthyBlocks` says."""
    inside = np.argwhere(brain)
    middle = inside.mean(0)
    if rng is None:
        return cut_out(planes, middle, shape, 0.0, np.ones(2), 1.0)
    # where the whole brain fits in, it is shown whole
    spare = np.maximum(np.ptp(inside, axis=0) - np.array(shape), 0) / 2 + 10
    center = middle + rng.uniform(-spare, spare)
    zoom = np.exp(rng.normal(0, 0.05) + rng.normal(0, 0.03, 2))
    return cut_out(planes, center, shape, rng.normal(0, 0.12), zoom, rng.choice((-1.0, 1.0)))
