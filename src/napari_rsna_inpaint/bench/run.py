"""All measurements on one scan, as plain data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from napari_rsna_inpaint import STATEMENT, __version__
from napari_rsna_inpaint.bench.completions import measure_completions
from napari_rsna_inpaint.bench.counting import network_gflop
from napari_rsna_inpaint.bench.floor import floor_rows
from napari_rsna_inpaint.bench.gpu import measure_gpu
from napari_rsna_inpaint.bench.machine import peak_gflops, this_machine
from napari_rsna_inpaint.bench.methods import conditions, methods
from napari_rsna_inpaint.bench.network import measure_network
from napari_rsna_inpaint.bench.one_slice import SliceRow, measure_slice
from napari_rsna_inpaint.bench.published import NETWORKS, measure_published
from napari_rsna_inpaint.bench.scan import ScanRow, measure_region, measure_scan, scan_evaluations
from napari_rsna_inpaint.bench.startup import measure_start
from napari_rsna_inpaint.bench.subject import BLEED_ML, Subject, make_subject
from napari_rsna_inpaint.detection.identity import pixel_sha256
from napari_rsna_inpaint.diffusion.model import load_denoiser
from napari_rsna_inpaint.diffusion.model_folder import find_model, model_sha256
from napari_rsna_inpaint.inpaint.protocols import PROTOCOLS
from napari_rsna_inpaint.volume import CTVolume

CPU = "cpu"
#: Evaluations of a published network, and steps of ``reference``: in full, and to be quick.
_PUBLISHED_PART = {False: 50, True: 2}
_REFERENCE_STEPS = {False: 50, True: 5}


def bench(
    volume: CTVolume,
    *,
    model: str | Path | None = None,
    repeats: int = 3,
    quick: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Measure everything, on the CPU and, where there is one, on a CUDA GPU.

    Parameters
    ----------
    volume
        A head CT; its middle slice is taken as healthy.
    repeats
        Runs that a median is of.
    quick
        Measure long runs in part and multiply, and leave out the whole scan by ``full``.
    say
        Called with a line at the start of every part.

    Returns
    -------
    The content of the JSON file: no path and no name of a patient.

    Raises
    ------
    InputRefused
        If there is no brain in the volume, or the model is not to be had.
    """
    started = datetime.now(UTC)
    folder = find_model(model)
    say("brain mask and synthetic bleed")
    denoiser = load_denoiser(folder, device=CPU)
    config = denoiser.config
    subject = make_subject(volume, config)
    per_evaluation = network_gflop(config, subject.grid.shape)
    condition = conditions(subject.plain, denoiser)
    shapes = list(dict.fromkeys([(256, 256), subject.grid.shape]))
    scanned = ("interactive", "fast") if quick else ("interactive", "fast", "full")

    completions = measure_completions(
        methods(),
        subject,
        denoiser,
        repeats=repeats,
        quick=quick,
        say=lambda name: say(f"one slice, four completions; {name}"),
    )
    published = []
    for network in NETWORKS:
        say(f"the published protocol; network: {network.name}")
        published.append(measure_published(network, measured_evaluations=_PUBLISHED_PART[quick]))
    slices = []
    for name in PROTOCOLS:
        say(f"one slice by {name}")
        steps = _REFERENCE_STEPS[quick] if name == "reference" else None
        context = subject.plain.context
        slices.append(measure_slice(name, context, denoiser, per_evaluation, steps=steps))
    scans = []
    for name in scanned:
        say(f"whole scan by {name}")
        scans.append(measure_scan(subject, name, per_evaluation, model=folder, device=CPU))
    reference = _whole_scan(subject, slices[-1], per_evaluation, config.pixel_mm)
    say("the network by every backend")
    network_rows = measure_network(folder, condition, shapes, repeats=3 if quick else 15)
    say("a region")
    region = measure_region(subject, model=folder, device=CPU, repeats=repeats)
    say("start of the command")
    start = measure_start()
    say("arithmetic floor")
    peaks = {"float32": peak_gflops(torch.float32, torch.device(CPU))}
    if any(row.backend == "torch-bf16" and row.times for row in network_rows):
        peaks["bfloat16"] = peak_gflops(torch.bfloat16, torch.device(CPU))
    say("GPU")
    gpu = measure_gpu(
        subject,
        folder,
        condition,
        shapes,
        per_evaluation,
        protocols=scanned,
        repeats=repeats,
    )
    return {
        "schema": 1,
        "statement": STATEMENT,
        "package_version": __version__,
        "started": started.isoformat(timespec="seconds"),
        "quick": quick,
        "repeats": repeats,
        "machine": this_machine(),
        "model": {
            "name": folder.name,
            "sha256": model_sha256(folder),
            "gflop_per_evaluation": per_evaluation,
        },
        "input": {
            "source_id": volume.source_id,
            "pixel_sha256": pixel_sha256(volume),
            "shape": list(volume.hu.shape),
            "spacing_mm": list(volume.spacing),
            "model_grid": list(subject.grid.shape),
            "slice": volume.canonical_slice(subject.plain.context.index),
            "completions_per_slice": len(subject.plain.holes),
            "bleed_ml": None if subject.bled is None else BLEED_ML,
        },
        "completions": [asdict(row) for row in completions],
        "published": [asdict(row) for row in published],
        "one_slice": [asdict(row) for row in slices],
        "scan": [asdict(row) for row in [*scans, reference]],
        "network": [asdict(row) for row in network_rows],
        "region": asdict(region),
        "start": [asdict(row) for row in start],
        "floor": {
            "peak_gflops": peaks,
            "rows": [asdict(row) for row in floor_rows(scans, peaks)],
        },
        "gpu": gpu,
    }


def _whole_scan(
    subject: Subject, one_slice: SliceRow, per_evaluation: float, pixel_mm: float
) -> ScanRow:
    """A protocol too slow to run, from its time for the evaluations of one slice."""
    evaluations = scan_evaluations(subject, one_slice.protocol, pixel_mm)
    return ScanRow(
        protocol=one_slice.protocol,
        slices=len(subject.brains),
        evaluations=evaluations,
        gflop=evaluations * per_evaluation,
        seconds=one_slice.seconds / one_slice.evaluations * evaluations,
        estimated=True,
    )
