"""Named settings of the grid, from an answer at once to the published system's own."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Neighbours = Literal["cut", "keep", "drop"]
Decision = Literal["judge", "published", "published_batch"]

CORNER = ((0.0, 0.0),)
DIAGONAL = ((0.0, 0.0), (0.5, 0.5))
ALL_HALVES = ((0.0, 0.0), (0.0, 0.5), (0.5, 0.0), (0.5, 0.5))


class Sampling(BaseModel):
    """How a hole is filled."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: Literal["one_step", "ddim", "dpm++", "repaint", "ddim_resample"] = Field(
        "one_step",
        description="one_step: posterior mean from one evaluation; the others draw a sample",
    )
    steps: int = Field(1, ge=1, le=1000, description="evaluations from noise to image")
    spacing: Literal["trailing", "log_snr"] = Field(
        "trailing", description="timesteps equally spaced in time, or in log signal-to-noise ratio"
    )
    eta: float = Field(0.0, ge=0.0, le=1.0, description="fresh noise of DDIM: 0 none, 1 ancestral")
    jump_length: int = Field(
        1, ge=1, description="repaint, ddim_resample: steps that a jump goes back"
    )
    n_resample: int = Field(
        1,
        ge=0,
        description="repaint: how often each stretch is passed, at least once; ddim_resample: "
        "jumps after every step",
    )

    @model_validator(mode="after")
    def _passed_at_least_once(self) -> Sampling:
        if self.method == "repaint" and self.n_resample < 1:
            raise ValueError("repaint passes each stretch at least once (n_resample)")
        return self


class GridConfig(BaseModel):
    """What is hidden, how it is filled, and how often."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sizes_mm: tuple[float, ...] = Field((32.0,), description="sides of the squares, mm")
    offsets: tuple[tuple[float, float], ...] = Field(
        DIAGONAL, description="(y, x) shifts of the tiling, as fractions of the size"
    )
    period: int = Field(
        2,
        ge=2,
        le=4,
        description="a phase hides every period-th square in both directions; period ** 2 phases "
        "cover the slice",
    )
    sampling: Sampling = Field(Sampling(), description="how a hole is filled")
    samples: int = Field(1, ge=1, description="completions drawn for every hole and averaged")
    neighbours: Neighbours = Field(
        "cut",
        description="slices below and above: cut the same hole from them, so that a bleed cannot "
        "be copied from next door; keep them whole; drop them",
    )
    decision: Decision = Field(
        "judge",
        description="judge: compared with healthy scans; published: six thresholds on every "
        "square, those of the published application; published_batch: those of its batch script",
    )


PROTOCOLS: dict[str, GridConfig] = {
    "interactive": GridConfig(offsets=CORNER),
    "fast": GridConfig(),
    "full": GridConfig(
        sizes_mm=(8.0, 16.0, 32.0, 64.0),
        offsets=DIAGONAL,
        sampling=Sampling(method="dpm++", steps=4, spacing="log_snr"),
    ),
    "reference": GridConfig(
        sizes_mm=(7.2, 14.4, 28.8, 57.6),
        offsets=ALL_HALVES,
        period=3,
        sampling=Sampling(method="ddim", steps=50),
    ),
}
