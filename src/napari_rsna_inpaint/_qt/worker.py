"""One detection in the background: compute there, signals here.

A function worker is used rather than a generator because napari's generator workers
swallow RuntimeError, which is what torch raises when memory is full.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

from napari.qt.threading import FunctionWorker, create_worker
from qtpy.QtCore import QObject, Signal

from napari_rsna_inpaint.detection.result import SliceResult
from napari_rsna_inpaint.errors import Cancelled, RsnaInpaintError
from napari_rsna_inpaint.volume import CTVolume

_LOG = logging.getLogger(__name__)
_QUIET_S = 0.1


class _StoppableWorker(FunctionWorker):
    """Passes on napari's request to quit, which comes when its window closes."""

    stop: threading.Event

    def quit(self) -> None:
        self.stop.set()
        super().quit()


class DetectJob(QObject):
    """A running detection; all signals arrive in the thread that made the job.

    Signals
    -------
    progressed
        Done, total, and a ``SliceResult`` or None.
    finished
        A ``Detection`` (partial when cancelled; None if nothing was done), and whether
        it was cancelled.
    failed
        An ``RsnaInpaintError``, whose text is one sentence.
    """

    progressed = Signal(int, int, object)
    finished = Signal(object, bool)
    failed = Signal(object)

    def __init__(self, volume: CTVolume, options: dict[str, Any]) -> None:
        super().__init__()
        self.volume = volume
        self._options = options
        self._stop = threading.Event()
        self._last_sent = 0.0

    def __str__(self) -> str:
        # napari names the job so when it asks whether to close the window.
        return "detection of anomalies"

    def start(self) -> None:
        """Begin in a thread of napari's pool, which napari joins on exit."""
        worker = create_worker(self, _worker_class=_StoppableWorker, _start_thread=False)
        worker.stop = self._stop
        worker.start()

    def cancel(self) -> None:
        """Ask the computation to stop before its next network call."""
        self._stop.set()

    def __call__(self) -> None:
        """Compute, in the worker's thread."""
        # The engine loads torch; that takes seconds and must not happen in the window.
        try:
            from napari_rsna_inpaint import detect

            detection = detect(
                self.volume,
                **self._options,
                on_progress=self._report,
                cancelled=self._stop.is_set,
            )
            # here rather than in the window, which would stand still meanwhile
            detection.make_arrays()
        except Cancelled as stop:
            self.finished.emit(stop.partial, True)
        except RsnaInpaintError as error:
            self.failed.emit(error)
        except Exception as error:
            _LOG.exception("detection failed")
            self.failed.emit(RsnaInpaintError(_sentence(error)))
        else:
            self.finished.emit(detection, False)

    def _report(self, done: int, total: int, partial: SliceResult | None) -> None:
        now = time.monotonic()
        if partial is None and now - self._last_sent < _QUIET_S and done < total:
            return
        self._last_sent = now
        self.progressed.emit(done, total, partial)


def _sentence(error: Exception) -> str:
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return "The memory is full: choose the device 'cpu', or close other programs."
    text = str(error).strip().splitlines()
    reason = text[0] if text else type(error).__name__
    return f"The detection stopped because of an unexpected error: {reason}"
