"""One slice with all sizes, offsets and phases of each protocol."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

import numpy as np
import numpy.typing as npt

from napari_rsna_inpaint.bench.clock import timed
from napari_rsna_inpaint.detection.grid import protocol_holes
from napari_rsna_inpaint.inpaint.engine import (
    Denoiser,
    Job,
    SliceContext,
    complete,
    evaluations_per_job,
    job_seed,
)
from napari_rsna_inpaint.inpaint.protocols import PROTOCOLS, GridConfig

#: Holes that stand for all of a protocol that is too slow to be run.
PART = 8


@dataclass(frozen=True)
class SliceRow:
    """One protocol on one slice.

    Attributes
    ----------
    evaluations
        Network evaluations (images) of the slice.
    gflop
        Their operations, 10^9.
    seconds
        Time of ``measured_evaluations``, multiplied where those are not all.
    """

    protocol: str
    evaluations: int
    gflop: float
    seconds: float
    measured_evaluations: int


def evaluations_of(brain: npt.NDArray[np.bool_], protocol: GridConfig, pixel_mm: float) -> int:
    """Network evaluations of a protocol over a ``(y, x)`` brain mask on the model grid."""
    holes = sum(1 for _ in protocol_holes(brain, protocol, pixel_mm))
    return holes * protocol.samples * evaluations_per_job(protocol.sampling)


def measure_slice(
    name: str,
    context: SliceContext,
    denoiser: Denoiser,
    gflop_per_evaluation: float,
    *,
    steps: int | None = None,
) -> SliceRow:
    """Run a protocol on a slice; with ``steps`` only `PART` holes, each in so few steps.

    Parameters
    ----------
    gflop_per_evaluation
        Of one image of the slice's shape.
    """
    protocol = PROTOCOLS[name]
    pixel_mm = denoiser.config.pixel_mm
    holes = protocol_holes(context.brain, protocol, pixel_mm)
    sampling = protocol.sampling
    if steps is not None:
        holes = islice(holes, PART)
        sampling = sampling.model_copy(update={"steps": steps})
    jobs = [
        Job(context, hole.mask, job_seed(0, context.index, hole.number), hole.scale)
        for hole in holes
    ]
    measured = 0

    def count(n: int) -> None:
        nonlocal measured
        measured += n

    def run() -> None:
        for _ in complete(
            jobs,
            denoiser,
            sampling,
            neighbours=protocol.neighbours,
            on_evaluations=count,
        ):
            pass

    seconds, _ = timed(run, denoiser.device)
    evaluations = evaluations_of(context.brain, protocol, pixel_mm)
    return SliceRow(
        protocol=name,
        evaluations=evaluations,
        gflop=evaluations * gflop_per_evaluation,
        seconds=seconds * evaluations / measured,
        measured_evaluations=measured,
    )
