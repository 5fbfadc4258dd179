"""The same protocols, region and network on a CUDA GPU, where there is one."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from napari_rsna_inpaint.bench.floor import floor_rows
from napari_rsna_inpaint.bench.machine import peak_gflops
from napari_rsna_inpaint.bench.network import measure_network
from napari_rsna_inpaint.bench.scan import measure_region, measure_scan
from napari_rsna_inpaint.bench.subject import Subject
from napari_rsna_inpaint.diffusion.model import Condition

DEVICE = "cuda"


def measure_gpu(
    subject: Subject,
    folder: Path,
    condition: Condition,
    shapes: list[tuple[int, int]],
    gflop_per_evaluation: float,
    *,
    protocols: tuple[str, ...],
    repeats: int,
) -> dict[str, Any]:
    """Measure on the GPU; without one, the reason why there is nothing."""
    if not torch.cuda.is_available():
        return {"absent": "PyTorch sees no CUDA GPU"}
    measure_scan(subject, protocols[0], gflop_per_evaluation, model=folder, device=DEVICE)
    torch.cuda.reset_peak_memory_stats()
    scans = [
        measure_scan(subject, name, gflop_per_evaluation, model=folder, device=DEVICE)
        for name in protocols
    ]
    peaks = {
        "float32": peak_gflops(torch.float32, torch.device(DEVICE)),
        "bfloat16": peak_gflops(torch.bfloat16, torch.device(DEVICE)),
    }
    region = measure_region(subject, model=folder, device=DEVICE, repeats=repeats)
    network = measure_network(folder, condition, shapes, device=DEVICE, repeats=repeats)
    return {
        "scan": [asdict(row) for row in scans],
        "region": asdict(region),
        "network": [asdict(row) for row in network],
        "floor": {
            "peak_gflops": peaks,
            "rows": [asdict(row) for row in floor_rows(scans, peaks)],
        },
        "peak_gpu_mb": torch.cuda.max_memory_allocated() / 1e6,
    }
