"""Named settings of the grid, from an answer at once to the published system's own."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Neighbours = Literal["cut", "keep", "drop"]

CORNER = ((0.0, 0.0),)
DIAGONAL = ((0.0, 0.0), (0.5, 0.5))
ALL_HALVES = ((0.0, 0.0), (0.0, 0.5), (0.5, 0.0), (0.5, 0.5))


class Sampling(BaseModel):
    """How a hole is filled.

    ``one_step`` is the posterior mean from one evaluation; the others draw a sample in
    ``steps`` evaluations. ``n_resample`` and ``jump_length`` (in steps) belong to
    ``repaint``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: Literal["one_step", "ddim", "dpm++", "repaint"] = "one_step"
    steps: int = Field(1, ge=1, le=1000)
    spacing: Literal["trailing", "log_snr"] = "trailing"
    eta: float = Field(0.0, ge=0.0, le=1.0)
    jump_length: int = Field(1, ge=1)
    n_resample: int = Field(1, ge=1)


class GridConfig(BaseModel):
    """What is hidden, how it is filled, and how often.

    Attributes
    ----------
    sizes_mm
        Sides of the squares.
    offsets
        ``(y, x)`` shifts of the tiling, as fractions of the size.
    period
        A phase hides every ``period``-th square in both directions; ``period ** 2`` phases
        cover the slice.
    samples
        Completions drawn for every hole and averaged.
    neighbours
        Slices below and above: ``"cut"`` the same hole from them, so that a bleed cannot be
        copied from next door; ``"keep"`` them whole; ``"drop"`` them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    sizes_mm: tuple[float, ...] = (32.0,)
    offsets: tuple[tuple[float, float], ...] = DIAGONAL
    period: int = Field(2, ge=2, le=4)
    sampling: Sampling = Sampling()
    samples: int = Field(1, ge=1)
    neighbours: Neighbours = "cut"


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
