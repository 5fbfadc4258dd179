"""Choose how to look for anomalies, start, watch, stop."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_rsna_inpaint._qt.detect_job import Progress, detect_job
from napari_rsna_inpaint._qt.detector_options import DetectorOptions, choices
from napari_rsna_inpaint._qt.layers import is_ct, layer_volume
from napari_rsna_inpaint._qt.live import LiveResult
from napari_rsna_inpaint._qt.message import Message
from napari_rsna_inpaint._qt.reading import Reading
from napari_rsna_inpaint._qt.settings import settings
from napari_rsna_inpaint._qt.worker import Job
from napari_rsna_inpaint.detection.names import protocols
from napari_rsna_inpaint.detection.result import Detection
from napari_rsna_inpaint.errors import RsnaInpaintError

_LOADING = "The detectors are still being loaded: try again in a moment."
_NO_CT = "Open a CT study first: File > IO Utilities > Open CT study, or a sample."


class DetectPanel(QWidget):
    """Run a detection on a CT layer.

    Its options, ``choice``, are shown elsewhere: they need the room of the findings.

    Signals
    -------
    started
        A run began; earlier results are gone from the viewer.
    settled
        The run ended: True with a complete result, else False.
    """

    started = Signal()
    settled = Signal(bool)

    def __init__(self, reading: Reading) -> None:
        super().__init__()
        self._reading = reading
        self._viewer = reading.viewer
        self._job: Job | None = None
        self._result: LiveResult | None = None
        #: Where finished slices are kept, so that a run that was stopped, or a program that
        #: was, goes on where it was.
        self.sections: Path | None = None
        #: Why the last run failed.
        self.error: RsnaInpaintError | None = None
        self._begun = 0.0
        self._done_then = 0
        self._refused = False

        chosen = settings()
        self.source = QComboBox()
        # A long description must not widen the dock.
        self.source.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.protocol = choices(protocols().items())
        self.protocol.setCurrentText(chosen.protocol)
        self.choice = DetectorOptions(self.protocol, chosen.detector, chosen.device)
        self.how = QLabel()
        self.how.setStyleSheet("color: #90a4ae; font-size: 11px;")
        for box in (self.source, self.protocol):
            # letters are keys of the reader, not a search in a list
            box.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.start_button = QPushButton("Detect")
        self.cancel_button = QPushButton("Cancel")
        self.bar = QProgressBar()
        self.message = Message()
        self._lay_out()

        self.choice.changed.connect(self._say_how)
        self._say_how()
        self.source.currentIndexChanged.connect(self._choose)
        self.start_button.clicked.connect(self.start)
        self.cancel_button.clicked.connect(self.cancel)
        for event in ("inserted", "removed", "reordered"):
            getattr(self._viewer.layers.events, event).connect(self._list_sources)
        self._set_running(False)
        self._introduce()
        self._list_sources()

    def _lay_out(self) -> None:
        run = QHBoxLayout()
        for widget in (self.protocol, self.start_button, self.cancel_button):
            run.addWidget(widget, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.source)
        layout.addLayout(run)
        layout.addWidget(self.how)
        layout.addWidget(self.bar)
        layout.addWidget(self.message)

    def options(self) -> dict[str, Any]:
        """How a detection would be run now, as for ``detect``."""
        return {
            "detector": self.choice.name,
            "protocol": self.protocol.currentText(),
            "device": self.choice.device.currentText(),
            "parameters": self.choice.parameters(),
        }

    def start(self) -> None:
        """Begin a detection with the chosen settings."""
        source = self.source.currentData()
        if self._job is not None:
            return
        if source is None or not is_ct(source):
            self.message.say(_NO_CT)
            return
        if self.choice.loading or self.choice.problem():
            # before an earlier result goes
            self._refused = True
            self.message.say(self.choice.problem() or _LOADING)
            return
        self._reading.read(source)
        self._reading.show(None)
        self.started.emit()
        self._result = LiveResult(self._viewer, source)
        self._result.begin()
        job = detect_job(self._result.volume, {**self.options(), "store": self.sections})
        job.progressed.connect(self._on_progress)
        job.finished.connect(self._on_finished)
        job.failed.connect(self._on_failed)
        self.destroyed.connect(job.cancel)
        self._job = job
        self.error = None
        self._begun = 0.0
        self._set_running(True)
        self.bar.reset()
        self.bar.setRange(0, 0)
        self.message.say("Preparing …")
        job.start()

    def cancel(self) -> None:
        """Stop a running detection; what is finished is kept."""
        if self._job is not None:
            self._job.cancel()
            self.cancel_button.setEnabled(False)
            self.message.say("Stopping …")

    def restore(self, detection: Detection) -> None:
        """Show a result that was computed before for the CT that is read."""
        source = self._reading.source
        if self._job is None and source is not None and self._reading.still(source):
            self._result = LiveResult(self._viewer, source)
            self._result.begin()
            self._result.finish(detection)
            self.message.say(f"Kept from before: {self._summary(detection, cancelled=False)}")
            self._reading.show(detection)

    @property
    def running(self) -> bool:
        """Whether a detection is under way."""
        return self._job is not None

    def _on_progress(self, progress: Progress) -> None:
        done, total, part = progress
        if self._job is None or self._result is None:
            return
        if not self._result.wanted:
            self._job.cancel()
            return
        if part is not None:
            self._result.update(part)
            self._reading.images_changed.emit()
        self.bar.setRange(0, total)
        self.bar.setValue(done)
        now = time.monotonic()
        if not self._begun:
            self._begun, self._done_then = now, done
        elif done > self._done_then and self.cancel_button.isEnabled():
            left = (now - self._begun) / (done - self._done_then) * (total - done)
            self.message.say(f"Running, {_duration(left)} left")

    def _on_finished(self, detection: Detection | None, cancelled: bool) -> None:
        result = self._end_job()
        if result is None:
            return
        complete = False
        if not result.wanted:
            result.discard()
            self.message.say("The CT was closed or changed, so its result was dropped.")
        elif detection is None or not detection.done.any():
            result.discard()
            self.message.say("Stopped before the first slice was finished.")
        else:
            complete = not cancelled
            result.finish(detection)
            self.message.say(self._summary(detection, cancelled=cancelled))
            self._reading.show(detection)
        self._follow()
        self.settled.emit(complete)

    def _on_failed(self, error: RsnaInpaintError) -> None:
        result = self._end_job()
        if result is not None:
            result.discard()
        self.error = error
        self.message.complain(error)
        self._follow()
        self.settled.emit(False)

    def _summary(self, detection: Detection, *, cancelled: bool) -> str:
        """How many findings, by what, and what the run remarked besides what the scan says."""
        volume = None if self._result is None else self._result.volume
        known = [] if volume is None else [note.message for note in volume.notes]
        remarks = [note["message"] for note in detection.run.get("notes", [])]
        new = [remark for remark in remarks if remark not in known]
        return "\n".join([_count(detection, cancelled), *new])

    def _say_how(self) -> None:
        self.how.setText(self.choice.unusual())
        self.how.setVisible(bool(self.choice.unusual()))
        if self._refused:
            self._refused = False
            self._introduce()

    def _end_job(self) -> LiveResult | None:
        self._job = None
        self._set_running(False)
        return self._result

    def _set_running(self, running: bool) -> None:
        for widget in (self.source, self.protocol, self.choice):
            widget.setEnabled(not running)
        self.start_button.setVisible(not running)
        self.start_button.setEnabled(not running and self.source.count() > 0)
        self.cancel_button.setVisible(running)
        self.cancel_button.setEnabled(running)
        self.bar.setVisible(running)

    def _list_sources(self, _event: Any = None) -> None:
        """Offer the CT layers; the one opened last is read, unless a run is under way."""
        layers = [layer for layer in reversed(self._viewer.layers) if is_ct(layer)]
        known = [self.source.itemData(row) for row in range(self.source.count())]
        if layers == known:
            return
        before = self.source.currentData()
        new = [layer for layer in layers if layer not in known]
        wanted = new[0] if new and not self.running else before
        self.source.blockSignals(True)
        self.source.clear()
        for layer in layers:
            volume = layer_volume(layer)
            words = volume.description if volume is not None else ""
            self.source.addItem(f"{layer.name}  {words}".strip(), layer)
        self.source.setCurrentIndex(max(self.source.findData(wanted), 0))
        self.source.blockSignals(False)
        if not self.running:
            self._set_running(False)
            self._choose()

    def _choose(self, _row: int = -1) -> None:
        """Read the chosen CT, and say what was noticed when it was opened."""
        if not self.running and self.source.currentData() is not self._reading.source:
            self._introduce()
            self._follow()

    def _follow(self) -> None:
        self._reading.read(self.source.currentData())

    def _introduce(self) -> None:
        volume = layer_volume(self.source.currentData())
        notes = [] if volume is None else [note.message for note in volume.notes]
        self.message.say(_NO_CT if volume is None else "\n".join(notes))


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"about {max(1, round(seconds / 5)) * 5} s"
    return f"about {round(seconds / 60)} min"


def _count(detection: Detection, cancelled: bool) -> str:
    count = len(detection.findings)
    words = f"{count} finding{'' if count == 1 else 's'}" if count else "No finding"
    if "detector" in detection.run:
        words += f" by {detection.run['detector']}, {detection.run['protocol']}"
    if cancelled:
        words += f" in the {int(detection.done.sum())} slices finished before it was stopped"
    return words + "."
