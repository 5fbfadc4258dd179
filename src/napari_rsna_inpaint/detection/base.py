"""The small protocol that every detector follows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel

from napari_rsna_inpaint.detection.calibration import Calibration
from napari_rsna_inpaint.detection.square_metrics import Squares, no_squares
from napari_rsna_inpaint.inpaint.resample import ModelGrid
from napari_rsna_inpaint.volume import CTVolume

if TYPE_CHECKING:
    # It loads torch, which reading a result must not wait for.
    from napari_rsna_inpaint.detection.scan import Scan

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
        ``(n_scales, y, x)`` float32 HU, the same for every square size; ``(0, y, x)`` where
        there are none.
    minimum
        ``(y, x)`` float32 HU, original minus that completion of a pixel which is nearest to it;
        None where only one completion is known, which gives the residual.
    squares
        ``(n,)`` rows of ``square_metrics.SQUARE``; empty where nothing was measured.
    deviation
        ``(y, x)`` float32, what is compared with healthy scans in place of the residual: about
        as large as HU, positive where a bleed would be; None for the residual itself.
    heat
        ``(y, x)`` float32, -0.5 to 1 as in `heatmap.heat`, of a detector that decides by itself;
        None where the calibration decides.
    """

    index: int
    residual: npt.NDArray[np.float32]
    scales: npt.NDArray[np.float32]
    minimum: npt.NDArray[np.float32] | None = None
    squares: Squares = field(default_factory=no_squares)
    deviation: npt.NDArray[np.float32] | None = None
    heat: npt.NDArray[np.float32] | None = None


class Detector(Protocol):
    """Turns a volume into healthy completions, slice by slice.

    Attributes
    ----------
    name
        That of its entry point.
    title, summary, source
        For people: a few words, a sentence or two, and where the method was published.
    presets
        Parameters by protocol; ``"fast"`` must be there.
    protocol, config
        Name of the protocol, and the parameters in use.
    scale_names
        Square sizes (mm) in ``SliceScores.scales``; may be empty.
    calibration
        What healthy scans look like to it; None only where it gives the heat itself.
    finding_heat
        Without calibration, a region is a finding where its heat reaches this.

    Raises
    ------
    InputRefused
        A missing model or device is refused when it is made, a missing calibration when it is
        first asked for.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    summary: ClassVar[str]
    source: ClassVar[str]
    presets: ClassVar[Mapping[str, BaseModel]]
    finding_heat: float
    protocol: str
    scale_names: list[float]

    def __init__(
        self,
        protocol: str,
        config: Any = None,
        *,
        model: str | Path | None = None,
        device: str = "auto",
        backend: str = "torch",
        batch_size: int | None = None,
    ) -> None: ...

    @property
    def config(self) -> BaseModel:
        """Parameters in use; those of the protocol unless others were given."""

    @property
    def calibration(self) -> Calibration | None:
        """What healthy scans look like to it."""

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
        """Yield every section of ``indices`` as soon as it is finished, in their order.

        What is found in a section depends neither on the other ``indices`` nor on batches.
        ``on_step`` hears of every network call, ``cancelled`` is asked before each.

        Raises
        ------
        Cancelled
            When ``cancelled()`` returned True.
        """

    def provenance(self) -> dict[str, Any]:
        """Everything needed to repeat the run: model, parameters, device.

        ``remarks``, if there are any, become notes of the run.
        """
