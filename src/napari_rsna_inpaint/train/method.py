"""What a training method has to say; the loop does the rest."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from napari_rsna_inpaint.diffusion.model import ImageModelConfig
from napari_rsna_inpaint.diffusion.model_folder import (
    Networks,
    load_config,
    load_weights,
    save_model,
)
from napari_rsna_inpaint.errors import InputRefused
from napari_rsna_inpaint.train.lesion_outlines import LesionOutlines
from napari_rsna_inpaint.train.prepare import PreparedSeries
from napari_rsna_inpaint.train.settings import BaseTrainConfig

#: ``(original HU, hole, completion HU)``, ``(y, x)`` each; bool, hole = 1.
Picture = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Loss:
    """One optimiser step: the network that learns, and from what.

    The loss is ``total / weight``, both summed over all processes: scalars with a gradient
    in ``total`` only.
    """

    network: str
    total: Tensor
    weight: Tensor


class Method(ABC):
    """A way to train; made of its settings and the series.

    Parameters
    ----------
    config
        Its settings.
    training, validation
        Prepared series; healthy ones only, unless `needs_bleeds`.
    outlines
        Lesions whose outlines serve as holes, too.
    """

    name: ClassVar[str]
    config_type: ClassVar[type[BaseTrainConfig]]
    #: Whether series with labelled bleeds are trained on as well.
    needs_bleeds: ClassVar[bool] = False
    #: Of the networks; volumes have another one than images.
    memory_format: ClassVar[torch.memory_format] = torch.channels_last

    def __init__(
        self,
        config: Any,
        training: list[PreparedSeries],
        validation: list[PreparedSeries],
        outlines: LesionOutlines | None = None,
    ) -> None:
        self.config = config

    @abstractmethod
    def networks(self) -> dict[str, nn.Module]:
        """Fresh networks by name; each gets an optimiser and a moving average of its own."""

    @abstractmethod
    def example(self, number: int) -> dict[str, Tensor]:
        """One training example, a function of the seed and its number alone."""

    @abstractmethod
    def losses(
        self, networks: Mapping[str, Callable[..., Tensor]], batch: dict[str, Tensor], step: int
    ) -> Iterator[Loss]:
        """What the networks learn from a batch, one optimiser step after the other.

        The step of a loss is done before the next one is asked for.
        """

    @abstractmethod
    def figures(self, networks: Mapping[str, nn.Module]) -> dict[str, float]:
        """Measures on held-out slices; ``score`` among them: the higher, the better.

        All are NaN where there are no held-out slices.
        """

    def pictures(self, networks: Mapping[str, nn.Module]) -> list[Picture]:
        """Some held-out slices and what the networks make of them."""
        return []

    def start_from(self, folder: Path, networks: Mapping[str, nn.Module]) -> None:
        """Give fresh networks the weights of a model of the same configuration.

        Raises
        ------
        InputRefused
            If the model has another configuration.
        """
        if load_config(folder, self.model_config_type()) != self.model:
            raise InputRefused(
                f"The model {folder.name!r} has another configuration than this run; "
                "leave 'model' out of the settings to take that of the model."
            )
        load_weights(folder, _unnamed_if_alone(networks))

    def save(self, folder: Path, networks: Mapping[str, nn.Module]) -> None:
        """Write the model; a method with one network keeps it without a name."""
        save_model(folder, _unnamed_if_alone(networks), self.model)

    @classmethod
    def model_config_type(cls) -> type[ImageModelConfig]:
        """Kind of configuration of its models."""
        return cast(type[ImageModelConfig], cls.config_type.model_fields["model"].annotation)

    @property
    def model(self) -> ImageModelConfig:
        """Configuration of the model."""
        return self.config.model


def _unnamed_if_alone(networks: Mapping[str, nn.Module]) -> Networks:
    return next(iter(networks.values())) if len(networks) == 1 else networks
