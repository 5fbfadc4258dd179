"""The small protocol that every detector follows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from napari_rsna_inpaint.detection.calibration import Calibration
from napari_rsna_inpaint.detection.scan import Scan
from napari_rsna_inpaint.detection.square_metrics import Squares, no_squares
from napari_rsna_inpaint.inpaint.resample import ModelGrid
from napari_rsna_inpaint.volume import CTVolume

#: ``(done, total)`` network evaluations.
OnStep = Callable[[int, int], None]


@dataclass(frozen=True)
class SliceScores:
    """One section as a detector sees it, on its model grid (z to the head, y posterior, x left).

    Attributes
    ----------
    index
        Number of the section, from below.
    residual
        ``(y, x)`` float32 HU, original minus healthy completion; 0 where nothing was hidden.
    scales
        ``(n_scales, y, x)`` float32 HU, the same for every square size.
    minimum
        ``(y, x)`` float32 HU, original minus that completion of a pixel which is nearest to it;
        None where only one completion is known, which gives the residual.
    squares
        ``(n,)`` rows of ``square_metrics.SQUARE``; empty where nothing was measured.
    """

    index: int
    residual: npt.NDArray[np.float32]
    scales: npt.NDArray[np.float32]
    minimum: npt.NDArray[np.float32] | None = None
    squares: Squares = field(default_factory=no_squares)


class Detector(Protocol):
    """Turns a volume into healthy completions, slice by slice.

    Made as ``cls(protocol, model=, device=, backend=, batch_size=)``; a missing model
    or device is refused there, a missing calibration when it is first asked for.

    ``name`` is the one of its entry point; ``scale_names`` labels the square sizes (mm) in
    ``SliceScores.scales``; ``pixel_mm`` is the pixel size of its model grid.
    """

    name: str
    scale_names: list[float]
    calibration: Calibration

    @property
    def pixel_mm(self) -> float:
        """Pixel size of the model grid."""

    def grid(self, volume: CTVolume, outline: npt.NDArray[np.bool_]) -> ModelGrid:
        """Model grid on which the sections are computed.

        ``outline`` is ``(y, x)``, canonical: where the brain is in any slice.
        """

    def run(
        self,
        scan: Scan,
        *,
        indices: Sequence[int],
        seed: int,
        on_step: OnStep | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Iterator[SliceScores]:
        """Yield every section of ``indices`` as soon as it is finished; raises ``Cancelled``."""

    def provenance(self) -> dict[str, Any]:
        """Everything needed to repeat the run: model, parameters, device."""
