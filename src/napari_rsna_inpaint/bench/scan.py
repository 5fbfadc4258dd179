"""A whole scan through ``detect``, and a region through ``reinpaint``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_rsna_inpaint.bench.clock import PeakMemory, median_seconds, timed
from napari_rsna_inpaint.bench.counting import network_clock
from napari_rsna_inpaint.bench.one_slice import evaluations_of
from napari_rsna_inpaint.bench.subject import BoolImages, Subject
from napari_rsna_inpaint.detection.region import REGION_SAMPLING, reinpaint
from napari_rsna_inpaint.detection.result import Detection
from napari_rsna_inpaint.detection.run import detect
from napari_rsna_inpaint.inpaint.engine import evaluations_per_job
from napari_rsna_inpaint.inpaint.protocols import PROTOCOLS

REGION_MM = 30.0
COMPLETIONS = 4


@dataclass(frozen=True)
class ScanRow:
    """One protocol on a whole scan, from the volume in memory to findings and images.

    Attributes
    ----------
    slices
        With brain; the others are not looked at.
    evaluations
        Network evaluations (images).
    seconds, outside_network_seconds
        In all, and what is not spent in the network; None where that is not known.
    peak_mb
        Peak memory above that before, 10^6 bytes.
    estimated
        The time is that of one slice's evaluations, multiplied.
    """

    protocol: str
    slices: int
    evaluations: int
    gflop: float
    seconds: float
    outside_network_seconds: float | None = None
    peak_mb: float | None = None
    estimated: bool = False


def scan_evaluations(subject: Subject, protocol: str, pixel_mm: float) -> int:
    """Network evaluations of a protocol on all slices with brain."""
    return sum(evaluations_of(brain, PROTOCOLS[protocol], pixel_mm) for brain in subject.brains)


def measure_scan(
    subject: Subject, protocol: str, gflop_per_evaluation: float, *, model: Path, device: str
) -> ScanRow:
    """Run ``detect`` once, brain mask included."""

    def run() -> Detection:
        detection = detect(subject.volume, protocol=protocol, model=model, device=device)
        detection.make_arrays()
        return detection

    with PeakMemory() as memory, network_clock() as clock:
        seconds, detection = timed(run)
    evaluations = detection.run["denoiser_evaluations"]
    return ScanRow(
        protocol=protocol,
        slices=len(subject.brains),
        evaluations=evaluations,
        gflop=evaluations * gflop_per_evaluation,
        seconds=seconds,
        outside_network_seconds=seconds - clock.seconds,
        peak_mb=memory.mb,
    )


@dataclass(frozen=True)
class RegionRow:
    """All completions of a square region of one slice, brain mask given.

    Attributes
    ----------
    evaluations
        Network evaluations of all completions.
    seconds
        Median until all completions are there, after one run to warm up.
    """

    side_mm: float
    completions: int
    evaluations: int
    seconds: float
    repeats: int


def measure_region(subject: Subject, *, model: Path, device: str, repeats: int) -> RegionRow:
    """Complete a region of the middle slice with ``reinpaint``."""
    region = middle_region(subject)

    def run() -> None:
        reinpaint(
            subject.volume,
            region,
            samples=COMPLETIONS,
            model=model,
            device=device,
            mask=subject.mask,
        )

    run()
    return RegionRow(
        side_mm=REGION_MM,
        completions=COMPLETIONS,
        evaluations=COMPLETIONS * evaluations_per_job(REGION_SAMPLING),
        seconds=median_seconds(run, repeats),
        repeats=repeats,
    )


def middle_region(subject: Subject) -> BoolImages:
    """``(z, y, x)``: a square around the middle of the brain in the middle slice."""
    z = subject.volume.canonical_slice(subject.plain.context.index)
    region = np.zeros(subject.volume.hu.shape, bool)
    sides = []
    for axis, spacing in zip((1, 2), subject.volume.spacing[1:], strict=True):
        inside = np.flatnonzero(subject.mask[z].any(axis=2 - axis))
        half = REGION_MM / spacing / 2
        middle = (inside[0] + inside[-1]) / 2
        sides.append(slice(max(0, round(middle - half)), round(middle + half)))
    region[z, sides[0], sides[1]] = True
    return region
