"""A coarse-to-fine network that completes holes, plural by channel-wise dropout.

In the spirit of Yu et al. 2018 (Generative Image Inpainting with Contextual Attention, section
3): a coarse stage with dilated convolutions guesses the hole, a fine stage of the same kind sees
the guess and corrects it; ELU, no normalisation. Two differences make it an order of magnitude
cheaper: images come in as 2x2 patches, and the fine stage has no attention.

Dropout is not left to the modes of modules: whoever calls the network hands it the masks, by
the names of layers. So no layer is silently left out, and a completion is a function of its
masks alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

STAGES = ("coarse", "fine")
#: Known image, hole and brain; the fine stage sees the guess as part of the image.
IN_CHANNELS = 3

#: Factors of the channels of layers by name, ``(N, C, 1, 1)``; a layer without is whole.
DropoutMasks = Mapping[str, Tensor]


class CompletionConfig(BaseModel):
    """Shape of the network.

    ``widths`` are the channels at ``patch`` pixels a cell and at half that resolution, where a
    stage has one 3x3 layer for each of ``dilations`` (cells); they are named ``context1``
    onwards, behind ``coarse.`` or ``fine.``. Those in ``dropout_layers`` lose each channel with
    the probability ``dropout``, in training and in use alike.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    patch: int = 2
    widths: tuple[int, int] = (32, 64)
    dilations: tuple[int, ...] = (1, 2, 4, 8, 16, 2, 1)
    dropout: float = Field(0.2, gt=0, lt=1)
    dropout_layers: tuple[str, ...] = (
        "coarse.context3",
        "coarse.context5",
        "coarse.context7",
        "fine.context3",
        "fine.context5",
        "fine.context7",
    )

    @model_validator(mode="after")
    def _known_layers(self) -> CompletionConfig:
        check_layers(self.dropout_layers, self)
        return self

    @property
    def divisor(self) -> int:
        """Height and width of the input must be multiples of this."""
        return 2 * self.patch

    @property
    def layer_names(self) -> tuple[str, ...]:
        """All layers that can have dropout, in the order in which they are passed."""
        numbers = range(1, len(self.dilations) + 1)
        return tuple(f"{stage}.context{n}" for stage in STAGES for n in numbers)


def check_layers(names: Sequence[str], config: CompletionConfig) -> None:
    """Refuse names of layers that the network does not have.

    Raises
    ------
    ValueError
        It says which there are.
    """
    unknown = sorted(set(names) - set(config.layer_names))
    if unknown:
        raise ValueError(
            f"no layers {', '.join(unknown)}; there are {', '.join(config.layer_names)}"
        )


class Stage(nn.Module):
    """One pass over the image: ``(N, C, H, W) -> (N, 1, H, W)``."""

    def __init__(self, config: CompletionConfig) -> None:
        super().__init__()
        outer, inner = config.widths
        cells = config.patch**2
        self.patch = config.patch
        self.stem = nn.Conv2d(IN_CHANNELS * cells, outer, 3, padding=1)
        self.down = nn.Conv2d(outer, inner, 3, stride=2, padding=1)
        self.context = nn.ModuleDict(
            {
                f"context{number}": nn.Conv2d(inner, inner, 3, padding=dilation, dilation=dilation)
                for number, dilation in enumerate(config.dilations, start=1)
            }
        )
        self.up = nn.Conv2d(inner, 4 * outer, 1)
        self.merge = nn.Conv2d(outer, outer, 3, padding=1)
        self.head = nn.Conv2d(outer, cells, 3, padding=1)
        nn.init.zeros_(self.head.weight)

    def forward(self, x: Tensor, masks: DropoutMasks) -> Tensor:
        """``masks`` are those of this stage, without its name."""
        outer = F.elu(self.stem(F.pixel_unshuffle(x, self.patch)))
        h = F.elu(self.down(outer))
        for name, layer in self.context.items():
            step = F.elu(layer(h))
            h = h + (step * masks[name].to(step.dtype) if name in masks else step)
        h = F.elu(F.pixel_shuffle(self.up(h), 2) + outer)
        return F.pixel_shuffle(self.head(F.elu(self.merge(h))), self.patch)


class CompletionNet(nn.Module):
    """``(known, hole, brain) -> (coarse, fine)``, all ``(N, 1, H, W)``.

    Height and width are multiples of the divisor, images in network units, hole = 1.
    """

    def __init__(self, config: CompletionConfig) -> None:
        super().__init__()
        self.config = config
        self.coarse = Stage(config)
        self.fine = Stage(config)

    def forward(
        self, known: Tensor, hole: Tensor, brain: Tensor, masks: DropoutMasks | None = None
    ) -> tuple[Tensor, Tensor]:
        """Complete the hole twice.

        Parameters
        ----------
        known
            Network units; what lies in the hole is not looked at.
        hole, brain
            1 where the image is to be completed, and inside the skull.
        masks
            None is no dropout.

        Returns
        -------
        The guess and its correction, for the whole image; only the hole is meaningful.

        Raises
        ------
        ValueError
            If masks are given for layers that do not exist.
        """
        masks = masks or {}
        check_layers(tuple(masks), self.config)
        known = known * (1 - hole)
        coarse = self.coarse(torch.cat([known, hole, brain], 1), _of_stage("coarse", masks))
        guess = known + coarse * hole
        correction = self.fine(torch.cat([guess, hole, brain], 1), _of_stage("fine", masks))
        return coarse, coarse + correction


def draw_masks(
    config: CompletionConfig, layers: Sequence[str], seeds: Sequence[int]
) -> dict[str, Tensor]:
    """Dropout masks of some layers, from one generator for each image.

    An image gets the same masks whatever else is in its batch.

    Parameters
    ----------
    layers
        Names out of ``config.layer_names``.
    seeds
        One for each image.

    Returns
    -------
    For every layer ``(N, C, 1, 1)`` float32 on the CPU: 0 for a channel that is dropped, else
    ``1 / (1 - dropout)``, so that the mean stays what it was.

    Raises
    ------
    ValueError
        If there is no such layer.
    """
    check_layers(layers, config)
    # the order of the network, so that a stage gets the same masks whatever follows it
    ordered = [name for name in config.layer_names if name in layers]
    generators = [torch.Generator().manual_seed(int(seed)) for seed in seeds]
    drawn = [torch.rand(len(ordered), config.widths[1], generator=g) for g in generators]
    kept = torch.stack(drawn, 1) >= config.dropout
    factors = kept.float() / (1 - config.dropout)
    return {name: factor[:, :, None, None] for name, factor in zip(ordered, factors, strict=True)}


def _of_stage(stage: str, masks: DropoutMasks) -> dict[str, Tensor]:
    prefix = f"{stage}."
    return {
        name.removeprefix(prefix): mask for name, mask in masks.items() if name.startswith(prefix)
    }
