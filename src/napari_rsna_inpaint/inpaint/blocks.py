"""Blocks along z, in which volumes are completed: where they lie, what is known of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_rsna_inpaint.diffusion.wavelet_model import VolumeCondition, WaveletModelConfig

FloatVolume = npt.NDArray[np.float32]
BoolVolume = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Block:
    """Part of a volume that is completed at once.

    Attributes
    ----------
    start
        Its first section, counted in the volume; negative below it.
    core
        First section that it contributes, and the one after the last.
    """

    start: int
    core: tuple[int, int]


def block_of(section: int, config: WaveletModelConfig) -> int:
    """Number of the block that contributes a section: the same for every volume and request."""
    return section // config.core_sections


def aligned_block(number: int, config: WaveletModelConfig) -> Block:
    """The block of a number, counted from the first section of a volume."""
    return _block(number * config.core_sections, config)


def blocks_around(first: int, last: int, config: WaveletModelConfig) -> list[Block]:
    """As few blocks as contribute all sections of a hole, centred on it; from below."""
    core = config.core_sections
    depth = last - first + 1
    count = -(-depth // core)
    start = first - (count * core - depth) // 2
    return [_block(start + k * core, config) for k in range(count)]


def _block(core_start: int, config: WaveletModelConfig) -> Block:
    return Block(
        core_start - config.context_sections, (core_start, core_start + config.core_sections)
    )


def cut_block(
    image: FloatVolume,
    hole: BoolVolume,
    brain: BoolVolume,
    block: Block,
    config: WaveletModelConfig,
) -> VolumeCondition:
    """What the network may know of a block, a batch of one.

    Beyond the volume there is air outside of the brain, and height and width are filled up so
    that they fit the network.

    Parameters
    ----------
    image
        ``(z, y, x)`` float32 HU.
    hole, brain
        ``(z, y, x)`` bool; hole = 1.
    """
    sections = range(block.start, block.start + config.block_sections)
    inside = slice(max(0, block.start), max(0, min(len(image), sections.stop)))
    below = max(0, -block.start)
    spare = [(0, -side % config.divisor) for side in image.shape[1:]]

    def cut(volume: npt.NDArray, outside: float) -> Tensor:
        part = volume[inside].astype(np.float32)
        above = config.block_sections - below - len(part)
        padded = np.pad(part, [(below, above), *spare], constant_values=outside)
        return torch.from_numpy(padded)[None, None]

    encoded = config.encode(cut(image, config.hu_window[0]))
    return VolumeCondition(encoded, cut(hole, 0.0), cut(brain, 0.0))


def join_conditions(conditions: Sequence[VolumeCondition]) -> VolumeCondition:
    """Several blocks as one batch."""
    return VolumeCondition(
        *(
            torch.cat([getattr(one, name) for one in conditions])
            for name in ("image", "hole", "brain")
        )
    )


def paste(into: FloatVolume, made: FloatVolume, hole: BoolVolume, block: Block) -> None:
    """Put the part of a hole that a block contributes into a volume ``(z, y, x)``."""
    first, last = max(0, block.core[0]), min(len(into), block.core[1])
    part = made[first - block.start : last - block.start, : into.shape[1], : into.shape[2]]
    where = hole[first:last]
    into[first:last][where] = part[where]
