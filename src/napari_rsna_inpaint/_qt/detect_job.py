"""A detection as a job: what it reports, and how often."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from napari_rsna_inpaint._qt.worker import Job, Report
from napari_rsna_inpaint.detection.result import Detection, SliceResult
from napari_rsna_inpaint.volume import CTVolume

#: Done, total, and a finished slice or None.
Progress = tuple[int, int, SliceResult | None]

_QUIET_S = 0.1


def detect_job(volume: CTVolume, options: dict[str, Any]) -> Job:
    """Make the job that runs ``detect(volume, **options)``; it reports `Progress`."""

    def compute(report: Report, cancelled: Callable[[], bool]) -> Detection:
        # The engine loads torch; that takes seconds and must not happen in the window.
        from napari_rsna_inpaint import detect

        last = 0.0

        def pass_on(done: int, total: int, part: SliceResult | None) -> None:
            nonlocal last
            now = time.monotonic()
            if part is not None or now - last >= _QUIET_S or done == total:
                last = now
                report((done, total, part))

        detection = detect(volume, **options, on_progress=pass_on, cancelled=cancelled)
        # here rather than in the window, which would stand still meanwhile
        detection.make_arrays()
        return detection

    return Job("detection", compute)
