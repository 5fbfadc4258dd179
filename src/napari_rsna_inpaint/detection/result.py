"""What a detector gives back, as plain data with stable names."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

#: Fixed display range of the heatmap (0 to 1, see `heatmap.heat`): never per image.
HEATMAP_LIMITS = (0.0, 1.0)
#: Fixed display range of the signed residual, HU.
RESIDUAL_LIMITS_HU = (-40.0, 40.0)


@dataclass
class Finding:
    """One connected region that departs from the healthy completion.

    Attributes
    ----------
    id
        Stable within one run: ``"F1"`` has the highest score.
    slices
        First and last slice (array index along ``z``, both included).
    centroid_mm
        LPS mm.
    bbox
        ``(z0, y0, x0, z1, y1, x1)`` array indices, ends excluded.
    volume_ml, area_mm2
        True volume; area in the slice where it is largest.
    sign
        ``"hyper"``: brighter than its healthy completion, ``"hypo"``: darker.
    score
        Highest heat, 0 to 1; the list is sorted by it, and by volume among equals.
    mean_hu, mean_residual_hu
        Original, and original minus completion, averaged over the region.
    scales
        Square sizes (mm) at which the region departs as well.
    verdict, reason
        Of a reader; None until there is one.
    """

    id: str
    slices: tuple[int, int]
    centroid_mm: tuple[float, float, float]
    bbox: tuple[int, int, int, int, int, int]
    volume_ml: float
    area_mm2: float
    sign: Literal["hyper", "hypo"]
    score: float
    mean_hu: float
    mean_residual_hu: float
    scales: list[float]
    verdict: str | None = None
    reason: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain dictionary with the keys of ``findings.json``."""
        return asdict(self)


@dataclass(frozen=True)
class SliceResult:
    """One finished slice; arrays are ``(y, x)`` float32 on the volume's own grid.

    ``index`` is the position along ``z``; ``inpainted`` and ``residual`` (original minus
    inpainted) are in HU, ``heatmap`` is the calibrated score, preliminary until all slices
    are there.
    """

    index: int
    inpainted: npt.NDArray[np.float32]
    residual: npt.NDArray[np.float32]
    heatmap: npt.NDArray[np.float32]


@dataclass
class Detection:
    """Result on the volume's own grid; all arrays ``(z, y, x)``.

    Attributes
    ----------
    brain_mask
        bool, True inside the skull.
    inpainted
        float32 HU, the healthy completion; equals the original where nothing was hidden.
    residual
        float32 HU, signed: original minus inpainted.
    heatmap
        float32, calibrated score from 0 to 1, higher is more anomalous; 0 outside the mask.
    labels
        uint16, ``k`` where finding ``F<k>`` lies, else 0.
    findings
        Sorted by score, highest first.
    slice_scores
        ``(z,)`` float32.
    done
        ``(z,)`` bool, slices that were finished (all of them unless cancelled).
    run
        Provenance: everything needed to repeat the run (see ``run.json``), and under ``scan``
        the score of the whole scan with the threshold that healthy scans seldom exceed.
    """

    brain_mask: npt.NDArray[np.bool_]
    inpainted: npt.NDArray[np.float32]
    residual: npt.NDArray[np.float32]
    heatmap: npt.NDArray[np.float32]
    labels: npt.NDArray[np.uint16]
    findings: list[Finding]
    slice_scores: npt.NDArray[np.float32]
    done: npt.NDArray[np.bool_]
    run: dict[str, Any] = field(default_factory=dict)
