"""Time and memory of one call."""

from __future__ import annotations

import ctypes
import gc
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import torch

T = TypeVar("T")
_PROC = Path("/proc/self")


def timed(call: Callable[[], T], device: torch.device | None = None) -> tuple[float, T]:
    """Seconds that a call takes, with what a GPU does after it returned, and its result."""
    _wait_for(device)
    start = time.perf_counter()
    result = call()
    _wait_for(device)
    return time.perf_counter() - start, result


def median_seconds(
    call: Callable[[], object], repeats: int, device: torch.device | None = None
) -> float:
    """Median over repeated calls; warm up before."""
    return statistics.median(timed(call, device)[0] for _ in range(repeats))


def _wait_for(device: torch.device | None) -> None:
    if device is not None and device.type == "cuda":
        torch.cuda.synchronize(device)


class PeakMemory:
    """Peak resident memory of this process inside the ``with``, above that at its start.

    Attributes
    ----------
    mb
        10^6 bytes; None where the system does not tell (it does on Linux).
    """

    mb: float | None = None

    def __enter__(self) -> PeakMemory:
        gc.collect()
        _give_back_freed()
        try:
            (_PROC / "clear_refs").write_text("5")  # sets the peak to what is used now
            self._start: float | None = _status_mb("VmRSS")
        except OSError:
            self._start = None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._start is not None:
            self.mb = max(0.0, _status_mb("VmHWM") - self._start)


def _give_back_freed() -> None:
    """Return freed memory to the system, so that the next call is seen to take its own."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if _PROC.exists() else None
    if trim is not None:
        trim(0)


def _status_mb(field: str) -> float:
    for line in (_PROC / "status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) * 1024 / 1e6
    raise OSError(f"no {field} in /proc/self/status")
