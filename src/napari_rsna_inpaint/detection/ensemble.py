"""Detector ``ensemble``: several detectors on one scan, their calibrated scores combined."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from napari_rsna_inpaint.detection.base import Detector, OnStep, SliceScores
from napari_rsna_inpaint.detection.calibration import NEAREST
from napari_rsna_inpaint.detection.config import DetectorConfig
from napari_rsna_inpaint.detection.evidence import slice_evidence
from napari_rsna_inpaint.detection.model_detector import ModelDetector
from napari_rsna_inpaint.detection.registry import load_detector, make_detector
from napari_rsna_inpaint.detection.scan import Scan
from napari_rsna_inpaint.diffusion.model import ModelConfig
from napari_rsna_inpaint.errors import InputRefused
from napari_rsna_inpaint.inpaint.resample import ModelGrid
from napari_rsna_inpaint.volume import CTVolume

FloatImage = npt.NDArray[np.float32]

#: HU that stand for one healthy spread, so that combined deviations are about as large as the
#: residuals for which the judge was made.
HU_PER_SPREAD = 5.0


class EnsembleConfig(DetectorConfig):
    """Whose scores are combined, and how."""

    members: tuple[str, ...] = Field(
        ("grid", "anoremove", "cfg"), min_length=1, description="names of calibrated detectors"
    )
    combine: Literal["mean", "min", "max"] = Field(
        "mean",
        description="mean of the members' deviations from healthy; min: the smallest, 0 where they "
        "disagree on its sign; max: the largest",
    )
    weights: tuple[float, ...] = Field(
        (), description="of the members, in the mean; none: all count alike"
    )


class EnsembleDetector(ModelDetector):
    """Runs its members section by section and combines how unusual each finds every pixel.

    What a member sees is measured in spreads of healthy brain, by its own calibration, so that
    members with large and small residuals count alike. Its own calibration lies with the model of
    the method ``grid`` that it is given; so do those of members that use such a model.
    """

    name = "ensemble"
    title = "Ensemble"
    summary = (
        "Runs several detectors and combines how far each finds a pixel from healthy brain: what "
        "only one of them sees counts less."
    )
    source = "this project; Lakshminarayanan et al. 2017 (deep ensembles)"
    method = "grid"
    presets: ClassVar = {
        name: EnsembleConfig() for name in ("interactive", "fast", "full", "reference")
    }
    model_config_type = ModelConfig
    config: EnsembleConfig

    def __init__(
        self,
        protocol: str,
        config: EnsembleConfig | None = None,
        *,
        model: str | Path | None = None,
        device: str = "auto",
        backend: str = "torch",
        batch_size: int | None = None,
    ) -> None:
        super().__init__(
            protocol, config, model=model, device=device, backend=backend, batch_size=batch_size
        )
        _check(self.config)
        self.members = [
            self._member(name, device=device, backend=backend, batch_size=batch_size)
            for name in self.config.members
        ]
        sizes = {member.pixel_mm for member in self.members}
        if len(sizes) > 1:
            raise InputRefused(
                "The members of an ensemble must have one pixel size, not "
                f"{', '.join(f'{size:g}' for size in sorted(sizes))} mm; leave some out."
            )

    def _member(self, name: str, **options: Any) -> Detector:
        kind, protocol = load_detector(name), self.protocol
        while protocol not in kind.presets:
            protocol = NEAREST[protocol]
        model = self.folder if getattr(kind, "method", None) == self.method else None
        member = make_detector(name, protocol, model=model, **options)
        if member.calibration is None:
            raise InputRefused(
                f"The detector {name!r} decides without a calibration and cannot be combined with "
                "others; leave it out of 'members'."
            )
        return member

    @property
    def pixel_mm(self) -> float:
        """Pixel size that all members have."""
        return self.members[0].pixel_mm

    def grid(self, volume: CTVolume, outline: npt.NDArray[np.bool_]) -> ModelGrid:
        """Model grid on which every member can work (see ``Detector``)."""
        divisor = math.lcm(*(_divisor(member, volume, outline) for member in self.members))
        return ModelGrid.around(outline[None], volume.spacing[1:], self.pixel_mm, divisor=divisor)

    def run(
        self,
        scan: Scan,
        *,
        indices: Sequence[int],
        seed: int,
        on_step: OnStep | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Iterator[SliceScores]:
        """Yield every section when all members are through with it (see ``Detector``).

        The total is that of the members that have begun: it grows in the first section.
        """
        steps = [(0, 0)] * len(self.members)

        def count(number: int) -> OnStep:
            def step(done: int, total: int) -> None:
                steps[number] = (done, total)
                if on_step is not None:
                    on_step(sum(d for d, _ in steps), sum(t for _, t in steps))

            return step

        runs = [
            member.run(scan, indices=indices, seed=seed, on_step=count(k), cancelled=cancelled)
            for k, member in enumerate(self.members)
        ]
        for scores in zip(*runs, strict=True):
            yield self._combined(scan, scores)

    def _combined(self, scan: Scan, scores: Sequence[SliceScores]) -> SliceScores:
        z = scores[0].index
        deviations = np.stack(
            [self._deviation(scan, *pair) for pair in zip(self.members, scores, strict=True)]
        )
        nearest = np.stack([s.residual if s.minimum is None else s.minimum for s in scores])
        closest = np.abs(nearest).argmin(0)[None]
        return SliceScores(
            z,
            np.mean([one.residual for one in scores], axis=0, dtype=np.float32),
            np.zeros((0, *scan.shape), np.float32),
            np.take_along_axis(nearest, closest, 0)[0],
            deviation=HU_PER_SPREAD * combined(deviations, self.config),
        )

    def _deviation(self, scan: Scan, member: Detector, scores: SliceScores) -> FloatImage:
        """What a member sees, in healthy spreads, ``(y, x)``."""
        context, calibration = scan.context(scores.index), member.calibration
        if calibration is None or scores.heat is not None:
            raise InputRefused(
                f"The detector {member.name!r} decides by itself and cannot be combined with "
                "others; leave it out of 'members'."
            )
        return slice_evidence(
            scores.residual if scores.deviation is None else scores.deviation,
            context.image,
            context.brain,
            scan.bone_distance(scores.index),
            calibration.norms,
            scan.pixel_mm,
        ).z_residual

    def provenance(self) -> dict[str, Any]:
        """As of every detector, and that of the members."""
        return {
            **super().provenance(),
            "members": [member.provenance() for member in self.members],
        }


def combined(deviations: FloatImage, config: EnsembleConfig) -> FloatImage:
    """One deviation of those of the members, ``(n, y, x)`` to ``(y, x)`` float32."""
    if config.combine == "mean":
        weights = config.weights or None
        return np.average(deviations, axis=0, weights=weights).astype(np.float32)
    size = np.abs(deviations)
    place = (size.argmin(0) if config.combine == "min" else size.argmax(0))[None]
    chosen = np.take_along_axis(deviations, place, 0)[0]
    if config.combine == "max":
        return chosen
    agreed = (deviations > 0).all(0) | (deviations < 0).all(0)
    return np.where(agreed, chosen, np.float32(0))


def _check(config: EnsembleConfig) -> None:
    if EnsembleDetector.name in config.members:
        raise InputRefused("An ensemble cannot be a member of itself; leave it out of 'members'.")
    if len(set(config.members)) < len(config.members):
        raise InputRefused("Every member of an ensemble may be named once; use 'weights' instead.")
    weights = config.weights
    if weights and (len(weights) != len(config.members) or min(weights) < 0 or sum(weights) <= 0):
        raise InputRefused(
            f"An ensemble of {len(config.members)} members needs as many weights, none negative "
            "and not all 0; or no weights at all."
        )


def _divisor(member: Detector, volume: CTVolume, outline: npt.NDArray[np.bool_]) -> int:
    """Sides of its grid must be multiples of this; of a foreign one only a grid is known."""
    config = getattr(member, "model_config", None)
    if config is not None:
        return int(config.divisor)
    return math.gcd(*member.grid(volume, outline).shape)
