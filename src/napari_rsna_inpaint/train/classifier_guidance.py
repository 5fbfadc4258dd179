"""Training method ``classifier-guidance``: a denoiser and a classifier of noisy slices."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from pydantic import Field
from torch import Tensor, nn

from napari_rsna_inpaint.diffusion.label_unet import CfgModelConfig, Label
from napari_rsna_inpaint.diffusion.model import Condition
from napari_rsna_inpaint.diffusion.model_folder import load_config, load_weights, method_of
from napari_rsna_inpaint.diffusion.noisy_classifier import (
    BLEED,
    HEALTHY,
    GuidedModelConfig,
    cells_of,
    slice_logits,
)
from napari_rsna_inpaint.diffusion.translation import (
    annealed,
    classifier_guided,
    log_probability_gradient,
    to_healthy,
)
from napari_rsna_inpaint.errors import InputRefused
from napari_rsna_inpaint.evaluate.metrics import Sweep
from napari_rsna_inpaint.train.cfg import CfgMethod
from napari_rsna_inpaint.train.dataset import Triplet
from napari_rsna_inpaint.train.denoising import denoising_loss, diffused
from napari_rsna_inpaint.train.labelled_method import LabelledMethod, LabelledTrainConfig, times
from napari_rsna_inpaint.train.method import Loss
from napari_rsna_inpaint.train.whole_slices import whole_slice

DENOISER, CLASSIFIER = "denoiser", "classifier"
#: A cell bleeds from this share on, and counts so many times more: most do not.
CELL_SHARE, CELL_WEIGHT = 0.25, 5.0


class ClassifierGuidanceTrainConfig(LabelledTrainConfig):
    """Training of both networks in one run.

    The denoiser sees every slice without a label. ``denoiser_every``: it learns from every so many
    batches only, which suits a run that starts from a trained one (``--init`` takes a model of
    ``cfg`` as well). ``bleed_weight`` is the class weight of bleeds in the cross-entropy. The
    classifier learns timesteps up to ``classifier_level``. Validations guide by
    ``validation_scale``.
    """

    model: GuidedModelConfig = GuidedModelConfig()
    denoiser_every: int = Field(1, ge=1)
    bleed_weight: float = Field(1.0, gt=0)
    classifier_level: int = Field(850, ge=1)
    validation_scale: float = 100.0


class ClassifierGuidanceMethod(LabelledMethod):
    """Denoiser: v-prediction of whole slices. Classifier: cross-entropy of noisy slices.

    Weakly supervised: the classifier learns from slices labelled as bleeding or not (Wolleb et
    al. 2022) and from painted bleeds. Of these alone it is told the place, too: from labels of
    whole slices alone, a few thousand examples teach it nothing.
    """

    name = "classifier-guidance"
    config_type = ClassifierGuidanceTrainConfig
    config: ClassifierGuidanceTrainConfig

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
        planes, label, where = self.noisy(rng)
        known = np.zeros(planes["brain"].shape[1:], bool) if where is None else where
        return {
            **planes,
            # more often little noise, under which there is more to learn
            "t_classified": torch.tensor(int(self.config.classifier_level * rng.random() ** 2)),
            "class": torch.tensor(BLEED if label == Label.BLEED else HEALTHY),
            "bleed": torch.from_numpy(known).float()[None],
            "located": torch.tensor(float(where is not None)),
        }

    def losses(
        self, networks: Mapping[str, Callable[..., Tensor]], batch: dict[str, Tensor], step: int
    ) -> Iterator[Loss]:
        """First the classifier learns from a batch, then the denoiser."""
        wanted, brain = batch["class"], batch["brain"]
        noisy, _ = diffused({**batch, "t": batch["t_classified"]}, self._amplitudes)
        evidence = networks[CLASSIFIER](noisy, brain, batch["t_classified"]).float()
        weight = torch.where(wanted == BLEED, self.config.bleed_weight, 1.0)
        logits = slice_logits(evidence, brain)
        error = F.cross_entropy(logits, wanted, reduction="none") * weight
        located = self._cell_error(evidence, batch) * batch["located"]
        yield Loss(CLASSIFIER, (error + located).sum(), weight.sum())
        if step % self.config.denoiser_every == 0:
            x_t, target = diffused(batch, self._amplitudes)
            null = torch.full_like(batch["t"], Label.NULL)
            predicted = networks[DENOISER](x_t, brain, batch["t"], null)
            yield denoising_loss(DENOISER, predicted, target, brain)

    def _cell_error(self, evidence: Tensor, batch: dict[str, Tensor]) -> Tensor:
        """Cross-entropy of the cells in the brain, ``(N,)``, where the place of bleeds is known."""
        inside = cells_of(batch["brain"], evidence)
        truth = (cells_of(batch["bleed"], evidence) > CELL_SHARE).float()
        error = F.binary_cross_entropy_with_logits(
            evidence, truth, reduction="none", pos_weight=evidence.new_tensor(CELL_WEIGHT)
        )
        return (error * inside).sum((1, 2, 3)) / (inside.sum((1, 2, 3)) + 1e-4)

    def figures(self, networks: Mapping[str, nn.Module]) -> dict[str, float]:
        """Errors of translations, and how well painted bleeds are told from healthy slices.

        ``classifier_auroc`` is that of held-out slices at a quarter of the validation level.
        """
        found = super().figures(networks)
        if not self._validation.slices:
            return {"classifier_auroc": math.nan, **found}
        healthy = self._scores(networks, self._validation.slices)
        painted = self._scores(networks, [triplet for triplet, _ in self._validation.painted])
        truth = np.repeat([False, True], [len(healthy), len(painted)])
        auroc = float(Sweep.of(np.concatenate([healthy, painted]), truth).auroc())
        return {"classifier_auroc": auroc, **found}

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
            brain = condition.brain.to(device)
            logits = slice_logits(network(x_t, brain, torch.tensor([t], device=device)), brain)
            scores.append(float(logits[0, BLEED] - logits[0, HEALTHY]))
        return np.array(scores)

    def translate(self, networks: Mapping[str, nn.Module], condition: Condition) -> Tensor:
        """Encoded and, guided by the classifier, decoded."""
        # no inference tensors inside a graph
        with torch.inference_mode(False):
            brain = condition.brain.clone()

        def predict(x: Tensor, t: int) -> Tensor:
            at = times(x, t)
            return networks[DENOISER](x, condition.brain, at, torch.full_like(at, Label.NULL))

        def gradient(x: Tensor, t: int) -> Tensor:
            at = times(x, t).clone()
            return log_probability_gradient(
                lambda leaf: slice_logits(networks[CLASSIFIER](leaf, brain, at), brain), x, HEALTHY
            )

        scale = annealed(self.config.validation_scale, self.config.validation_level, 0.25)
        guided = classifier_guided(predict, gradient, self._schedule, scale)
        return to_healthy(predict, guided, condition.image, self._schedule, self._timesteps)
