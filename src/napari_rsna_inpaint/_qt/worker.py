"""Long work in the background: compute there, signals here.

A function worker is used rather than a generator because napari's generator workers
swallow RuntimeError, which is what torch raises when memory is full.
"""

from __future__ import annotations

import logging
import threading
import traceback
from collections.abc import Callable
from typing import Any

from napari.qt.threading import FunctionWorker, create_worker
from qtpy.QtCore import QObject, Signal

from napari_rsna_inpaint.errors import Cancelled, RsnaInpaintError

_LOG = logging.getLogger(__name__)

#: Is given what a job has to tell while it runs.
Report = Callable[[Any], None]
#: ``compute(report, cancelled)``: plain Python, in the worker's thread. It asks ``cancelled``
#: often and then raises `Cancelled` with what is finished.
Compute = Callable[[Report, Callable[[], bool]], Any]


class _StoppableWorker(FunctionWorker):
    """Passes on napari's request to quit, which comes when its window closes."""

    stop: threading.Event

    def quit(self) -> None:
        self.stop.set()
        super().quit()


class Job(QObject):
    """A running piece of work; all signals arrive in the thread that made the job.

    Signals
    -------
    progressed
        Whatever the work reports.
    finished
        The result (what was finished, when cancelled; may be None), and whether it was
        cancelled.
    failed
        An ``RsnaInpaintError``, whose text is one sentence; its ``details`` hold the traceback
        where the error was not foreseen.
    """

    progressed = Signal(object)
    finished = Signal(object, bool)
    failed = Signal(object)

    def __init__(self, name: str, compute: Compute) -> None:
        super().__init__()
        self._name = name
        self._compute = compute
        self._stop = threading.Event()

    def __str__(self) -> str:
        # napari names the job so when it asks whether to close the window.
        return self._name

    def start(self) -> None:
        """Begin in a thread of napari's pool, which napari joins on exit."""
        worker = create_worker(self, _worker_class=_StoppableWorker, _start_thread=False)
        worker.stop = self._stop
        worker.start()

    def cancel(self) -> None:
        """Ask the work to stop as soon as it can."""
        self._stop.set()

    def __call__(self) -> None:
        """Compute, in the worker's thread."""
        try:
            result = self._compute(self.progressed.emit, self._stop.is_set)
        except Cancelled as stop:
            self.finished.emit(stop.partial, True)
        except RsnaInpaintError as error:
            self.failed.emit(error)
        except Exception as error:
            _LOG.exception("%s failed", self._name)
            self.failed.emit(_foreseen(self._name, error))
        else:
            self.finished.emit(result, False)


def _foreseen(name: str, error: Exception) -> RsnaInpaintError:
    """One sentence for whatever went wrong, with the traceback for those who ask."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        sentence = "The memory is full: choose the device 'cpu', or close other programs."
    else:
        text = str(error).strip().splitlines()
        reason = text[0] if text else type(error).__name__
        sentence = f"The {name} stopped because of an unexpected error: {reason}"
    return RsnaInpaintError(sentence, details="".join(traceback.format_exception(error)))


class Errand(QObject):
    """A job that is run for a widget; what it brings is dropped once the widget is gone.

    Parameters
    ----------
    owner
        The widget, in whose thread the functions are called.
    job
        Is started.
    then, failed
        Called with the result, unless it was cancelled, or with the error.
    report
        Called with whatever the work reports.

    Signals
    -------
    ended
        In any case, after the functions were called.
    """

    ended = Signal()

    def __init__(
        self,
        owner: QObject,
        job: Job,
        then: Callable[[Any], None],
        failed: Callable[[RsnaInpaintError], None],
        report: Report = lambda _told: None,
    ) -> None:
        # Being a child, it ends with the widget, and Qt then delivers nothing more to it.
        super().__init__(owner)
        self._job = job
        self._then, self._failed, self._report = then, failed, report
        job.progressed.connect(self._on_progress)
        job.finished.connect(self._on_finished)
        job.failed.connect(self._on_failed)
        job.start()

    def _on_progress(self, told: Any) -> None:
        self._report(told)

    def _on_finished(self, result: Any, cancelled: bool) -> None:
        if not cancelled:
            self._then(result)
        self.ended.emit()
        self.deleteLater()

    def _on_failed(self, error: RsnaInpaintError) -> None:
        self._failed(error)
        self.ended.emit()
        self.deleteLater()
