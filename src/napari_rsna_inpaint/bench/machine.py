"""The machine that was measured on, and the most that it can compute."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from napari_rsna_inpaint.bench.clock import timed

PACKAGES = ("torch", "onnxruntime", "diffusers", "scikit-image", "opencv-python-headless", "numpy")
_SIDE = 2048
_PRODUCTS = 8


@dataclass(frozen=True)
class Machine:
    """What the times depend on besides the software of this package.

    Attributes
    ----------
    cores, threads
        Logical cores of the machine; threads that PyTorch and ONNX Runtime use.
    gpu
        Name, or None.
    packages
        Versions; None where not installed.
    """

    cpu: str
    cores: int
    threads: int
    gpu: str | None
    system: str
    python: str
    packages: dict[str, str | None]


def this_machine() -> dict[str, Any]:
    """``Machine`` as plain data."""
    machine = Machine(
        cpu=_cpu_name(),
        cores=os.cpu_count() or 1,
        threads=torch.get_num_threads(),
        gpu=torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        system=platform.system(),
        python=platform.python_version(),
        packages={name: _version(name) for name in PACKAGES},
    )
    return asdict(machine)


def _cpu_name() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def peak_gflops(dtype: torch.dtype, device: torch.device) -> float:
    """10^9 operations a second of the fastest of several large matrix products."""
    a, b = torch.randn(2, _SIDE, _SIDE, device=device).to(dtype)
    fastest = min(timed(lambda: a @ b, device)[0] for _ in range(1 + _PRODUCTS))
    return 2 * _SIDE**3 / 1e9 / fastest
