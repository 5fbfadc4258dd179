"""Regions with a reader's verdict: what is learned from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_rsna_inpaint.learning.features import FEATURES

ACCEPTED, REJECTED, SUPPLEMENTED = "accepted", "rejected", "supplemented"


@dataclass(frozen=True)
class Annotated:
    """A finding with its verdict.

    Attributes
    ----------
    study
        Identity of the study: whatever is left out of a fit is left out by whole studies.
    finding
        As in ``findings.json``; ``slices`` and ``sign`` are used.
    features
        One number for each of `features.FEATURES`, None or NaN where unknown; None where none
        were stored.
    verdict
        ``"accepted"``, ``"rejected"``, ``"unsure"`` or ``"supplemented"``.
    reason
        Code of the reason of a rejection.
    """

    study: str
    finding: Mapping[str, Any]
    features: Sequence[float | None] | None
    verdict: str
    reason: str | None = None

    @property
    def slices(self) -> set[tuple[str, int]]:
        """The slices that it lies in, each with its study."""
        first, last = self.finding["slices"]
        return {(self.study, z) for z in range(first, last + 1)}


def learnable(rows: Iterable[Annotated]) -> list[Annotated]:
    """Accepted and rejected bright regions with features, in an order of their own.

    Dark regions have no score that could be corrected (see `heatmap.DARK_SPREADS`). What a
    reader drew has none either, nor has what was stored with other features.
    """
    kept = [
        row
        for row in rows
        if row.verdict in (ACCEPTED, REJECTED)
        and row.finding["sign"] == "hyper"
        and row.features is not None
        and len(row.features) == len(FEATURES)
        and row.features[0] is not None
    ]
    return sorted(kept, key=lambda row: (row.study, str(row.finding["id"]), str(row.features)))


def verdict_slices(rows: Iterable[Annotated]) -> int:
    """How many slices bear a verdict that is learned from, or a region that was missed."""
    rows = list(rows)
    missed = [row for row in rows if row.verdict == SUPPLEMENTED]
    return len({place for row in [*learnable(rows), *missed] for place in row.slices})


def as_arrays(
    rows: Sequence[Annotated],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Features ``(n, len(FEATURES))``, NaN where unknown, and 1.0 where accepted ``(n,)``."""
    features = np.array([row.features for row in rows], np.float64).reshape(-1, len(FEATURES))
    return features, np.array([float(row.verdict == ACCEPTED) for row in rows])
