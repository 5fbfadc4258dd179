"""How long a command takes to start."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from napari_rsna_inpaint.bench.clock import median_seconds
from napari_rsna_inpaint.evaluate.phantom import head_phantom
from napari_rsna_inpaint.io.write import write_nifti

REPEATS = 5


@dataclass(frozen=True)
class StartRow:
    """Median time of a command in a new process."""

    command: str
    seconds: float
    repeats: int = REPEATS


def measure_start() -> list[StartRow]:
    """``--help``, and ``info`` of a small NIfTI file."""
    volume = head_phantom(shape=(4, 64, 64), spacing=(5.0, 3.0, 3.0)).volume
    with tempfile.TemporaryDirectory() as folder:
        path = write_nifti(Path(folder) / "small.nii.gz", volume.hu, volume)
        return [
            StartRow("--help", _seconds("--help")),
            StartRow("info FILE", _seconds("info", str(path))),
        ]


def _seconds(*arguments: str) -> float:
    command = [sys.executable, "-m", "napari_rsna_inpaint", *arguments]

    def run() -> None:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    run()
    return median_seconds(run, REPEATS)
