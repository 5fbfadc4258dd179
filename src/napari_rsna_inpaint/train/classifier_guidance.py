"""Training method ``classifier-guidance``: a denoiser and a classifier of noisy slices."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from pydantic import Field
from torch import Tensor, nn

from napari_rsna_inpaint.diffusion.label_unet import CfgModelConfig, Label
from napari_rsna_inpaint.diffusion.model import Condition
from napari_rsna_inpaint.diffusion.model_folder import load_config, load_weights, method_of
from napari_rsna_inpaint.diffusion.noisy_classifier import BLEED, HEALTHY, GuidedModelConfig
from napari_rsna_inpaint.diffusion.translation import (
    annealed,
    classifier_guided,
    encoding_timesteps,
    log_probability_gradient,
    to_healthy,
)
from napari_rsna_inpaint.errors import InputRefused
from napari_rsna_inpaint.evaluate.metrics import Sweep
from napari_rsna_inpaint.train.cfg import CfgMethod
from napari_rsna_inpaint.train.dataset import Triplet
from napari_rsna_inpaint.train.denoising import amplitudes, denoising_loss, diffused
from napari_rsna_inpaint.train.labelled import LabelledSlices
from napari_rsna_inpaint.train.lesion_outlines import LesionOutlines
from napari_rsna_inpaint.train.method import Loss, Method, Picture
from napari_rsna_inpaint.train.prepare import PreparedSeries
from napari_rsna_inpaint.train.settings import BaseTrainConfig
from napari_rsna_inpaint.train.whole_slices import WholeSliceValidation, whole_slice

DENOISER, CLASSIFIER = "denoiser", "classifier"


class ClassifierGuidanceTrainConfig(BaseTrainConfig):
    """Training of both networks in one run.

    The denoiser sees every slice without a label. ``denoiser_every``: it learns from every so many
    batches only, which suits a run that starts from a trained one (``--init`` takes a model of
    ``cfg`` as well). For the examples see `LabelledSlices`; ``bleed_weight`` is the class weight
    of bleeds in the cross-entropy. ``classifier_level``: the classifier learns timesteps up to
    it, at which it is asked. Validation translates slices as in `CfgTrainConfig`, with
    ``validation_scale``.
    """

    model: GuidedModelConfig = GuidedModelConfig()
    steps: int = Field(1200, ge=1)
    learning_rate: float = Field(1e-3, gt=0)
    denoiser_every: int = Field(1, ge=1)
    bleed_share: float = Field(0.5, ge=0, le=1)
    painted_share: float = Field(0.5, ge=0, le=1)
    bleed_weight: float = Field(1.0, gt=0)
    classifier_level: int = Field(850, ge=1)
    validation_every: int = Field(200, ge=1)
    validation_slices: int = Field(32, ge=1)
    validation_level: int = Field(800, ge=1)
    validation_steps: int = Field(4, ge=1)
    validation_scale: float = 100.0


class ClassifierGuidanceMethod(Method):
    """Denoiser: v-prediction of whole slices. Classifier: cross-entropy of noisy slices.

    Weakly supervised: the classifier learns from slices labelled as bleeding or not (Wolleb et
    al. 2022) and from painted bleeds.
    """

    name = "classifier-guidance"
    config_type = ClassifierGuidanceTrainConfig
    needs_bleeds = True
    config: ClassifierGuidanceTrainConfig

    def __init__(
        self,
        config: ClassifierGuidanceTrainConfig,
        training: list[PreparedSeries],
        validation: list[PreparedSeries],
        outlines: LesionOutlines | None = None,
    ) -> None:
        super().__init__(config, training, validation, outlines)
        self._slices = LabelledSlices(
            training,
            config.model,
            config.shape,
            bleed_share=config.bleed_share,
            painted_share=config.painted_share,
        )
        self._validation = WholeSliceValidation(validation, config)
        self._schedule = config.model.schedule()
        self._amplitudes = amplitudes(self._schedule)

    def networks(self) -> dict[str, nn.Module]:
        """Denoiser and classifier."""
        return self.config.model.networks()

    def start_from(self, folder: Path, networks: Mapping[str, nn.Module]) -> None:
        """Take both networks of a model of this method, or the denoiser of one of ``cfg``."""
        if method_of(folder) != CfgMethod.name:
            super().start_from(folder, networks)
            return
        other = load_config(folder, CfgModelConfig)
        if other.model_dump(exclude={"method"}) != self.model.model_dump(
            exclude={"method", "classifier"}
        ):
            raise InputRefused(
                f"The model {folder.name!r} has another denoiser than this run; train one with "
                "the same 'network'."
            )
        load_weights(folder, networks[DENOISER])

    def example(self, number: int) -> dict[str, Tensor]:
        """``image``, ``brain`` and ``noise`` ``(1, y, x)``; timesteps and the class."""
        rng = np.random.default_rng([self.config.seed, number])
        triplet, label = self._slices.example(rng)
        noise = rng.standard_normal((1, *triplet.brain.shape), dtype=np.float32)
        return {
            "image": self.config.model.encode(triplet.hu[1:2]),
            "brain": torch.from_numpy(triplet.brain).float()[None],
            "noise": torch.from_numpy(noise),
            "t": torch.tensor(int(rng.integers(self.config.model.n_timesteps))),
            # more often little noise, under which there is more to learn
            "t_classified": torch.tensor(int(self.config.classifier_level * rng.random() ** 2)),
            "class": torch.tensor(BLEED if label == Label.BLEED else HEALTHY),
        }

    def losses(
        self, networks: Mapping[str, Callable[..., Tensor]], batch: dict[str, Tensor], step: int
    ) -> Iterator[Loss]:
        """First the classifier learns from a batch, then the denoiser."""
        wanted, brain = batch["class"], batch["brain"]
        noisy, _ = diffused({**batch, "t": batch["t_classified"]}, self._amplitudes)
        logits = networks[CLASSIFIER](noisy, brain, batch["t_classified"])
        weight = torch.where(wanted == BLEED, self.config.bleed_weight, 1.0)
        error = F.cross_entropy(logits.float(), wanted, reduction="none") * weight
        yield Loss(CLASSIFIER, error.sum(), weight.sum())
        if step % self.config.denoiser_every == 0:
            x_t, target = diffused(batch, self._amplitudes)
            null = torch.full_like(batch["t"], Label.NULL)
            predicted = networks[DENOISER](x_t, brain, batch["t"], null)
            yield denoising_loss(DENOISER, predicted, target, brain)

    def figures(self, networks: Mapping[str, nn.Module]) -> dict[str, float]:
        """Errors of translations, and how well painted bleeds are told from healthy slices.

        ``classifier_auroc`` is that of held-out slices at a quarter of the validation level.
        """
        found = self._validation.figures(partial(self._translate, networks))
        if not self._validation.slices:
            return {"classifier_auroc": math.nan, **found}
        healthy = self._scores(networks, self._validation.slices)
        painted = self._scores(networks, [triplet for triplet, _ in self._validation.painted])
        truth = np.repeat([False, True], [len(healthy), len(painted)])
        auroc = float(Sweep.of(np.concatenate([healthy, painted]), truth).auroc())
        return {"classifier_auroc": auroc, **found}

    def pictures(self, networks: Mapping[str, nn.Module]) -> list[Picture]:
        """Translations of held-out slices with painted bleeds."""
        return self._validation.pictures(partial(self._translate, networks))

    @torch.inference_mode()
    def _scores(self, networks: Mapping[str, nn.Module], slices: list[Triplet]) -> np.ndarray:
        """Log-odds of a bleed of noisy slices, ``(n,)``."""
        network, t = networks[CLASSIFIER], self.config.validation_level // 4
        device = next(network.parameters()).device
        alpha, sigma = self._schedule.alpha_sigma(t)
        generator = torch.Generator().manual_seed(self.config.seed)
        scores = []
        for triplet in slices:
            condition = whole_slice(triplet, self.config.model)
            noise = torch.randn(condition.image.shape, generator=generator)
            x_t = (alpha * condition.image + sigma * noise).to(device)
            logits = network(x_t, condition.brain.to(device), torch.tensor([t], device=device))
            scores.append(float(logits[0, BLEED] - logits[0, HEALTHY]))
        return np.array(scores)

    @torch.inference_mode()
    def _translate(self, networks: Mapping[str, nn.Module], condition: Condition) -> Tensor:
        config = self.config
        condition = condition.to(next(networks[DENOISER].parameters()).device)

        def predict(x: Tensor, t: int) -> Tensor:
            times = torch.full((len(x),), t, device=x.device)
            return networks[DENOISER](x, condition.brain, times, torch.full_like(times, Label.NULL))

        def gradient(x: Tensor, t: int) -> Tensor:
            times = torch.full((len(x),), t, device=x.device)
            # no inference tensors inside a graph
            brain = condition.brain.clone()
            return log_probability_gradient(
                lambda leaf: networks[CLASSIFIER](leaf, brain, times), x, HEALTHY
            )

        level = config.validation_level
        timesteps = encoding_timesteps(self._schedule, level, config.validation_steps)
        scale = annealed(config.validation_scale, level, 0.25)
        guided = classifier_guided(predict, gradient, self._schedule, scale)
        x = to_healthy(predict, guided, condition.image, self._schedule, timesteps)
        return config.model.decode(x)
