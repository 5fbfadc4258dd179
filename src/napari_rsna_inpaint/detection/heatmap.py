"""From evidence and candidates to the heatmap: how suspicious every pixel is."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_rsna_inpaint.detection.candidates import Candidate
from napari_rsna_inpaint.detection.evidence import Evidence
from napari_rsna_inpaint.detection.rescorer import Rescorer

#: A region so many healthy spreads darker than its completion has the heat 1/2. No model of
#: dark regions was fitted, and most are old infarcts or wide sulci: they never get more.
DARK_SPREADS = 20.0
DARKEST = 0.5
#: A slice is scored by the mean of its hottest pixels of this total area, bright ones only.
SLICE_SCORE_MM2 = 40.0


def heat(
    evidence: Evidence, candidates: list[Candidate], rescorer: Rescorer
) -> npt.NDArray[np.float32]:
    """Signed heat of one slice, ``(y, x)`` on the model grid, -0.5 to 1.

    Positive: the probability of the most probable candidate that a pixel belongs to (see
    `Rescorer`). Negative: darker than the healthy completion.
    """
    suspicion = np.zeros(evidence.bright.shape, np.float32)
    if candidates:
        probability = rescorer.probability(np.stack([one.features for one in candidates]))
        for one, value in zip(candidates, probability, strict=True):
            inside = suspicion[one.box]
            inside[one.part] = np.maximum(inside[one.part], value)
    dark = np.minimum(DARKEST * evidence.dark / DARK_SPREADS, DARKEST)
    return np.where(suspicion > 0, suspicion, -dark).astype(np.float32)


def slice_score(signed: npt.NDArray[np.float32], pixel_mm: float) -> float:
    """Score of a slice from the heat, or another score, of its brain pixels, ``(n,)``.

    The mean of the hottest 40 mm2; what is missing in a smaller brain counts 0.
    """
    n = max(1, round(SLICE_SCORE_MM2 / pixel_mm**2))
    return float(np.sort(np.maximum(signed, 0))[-n:].sum() / n)
