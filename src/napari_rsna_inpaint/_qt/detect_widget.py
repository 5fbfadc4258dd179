"""The dock "Detect anomalies": choose, start, watch, stop, walk through the findings."""

from __future__ import annotations

import time
from typing import Any

from napari.viewer import Viewer
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_rsna_inpaint import STATEMENT
from napari_rsna_inpaint._qt.canvas_text import write_on_canvas
from napari_rsna_inpaint._qt.detect_job import Progress, detect_job
from napari_rsna_inpaint._qt.findings_table import FindingsTable
from napari_rsna_inpaint._qt.layers import is_ct, layer_volume
from napari_rsna_inpaint._qt.live import LiveResult
from napari_rsna_inpaint._qt.worker import Job
from napari_rsna_inpaint.detection.names import detectors, protocols
from napari_rsna_inpaint.detection.result import Detection
from napari_rsna_inpaint.errors import RsnaInpaintError

_DEVICES = (
    ("auto", "A graphics card if there is one"),
    ("cpu", "The processor"),
    ("cuda", "An NVIDIA graphics card"),
)
# All columns of the table and its scroll bar fit.
_WIDTH = 340
_DEFAULT_PROTOCOL = "fast"
_NO_CT = "Open a CT study first: File > IO Utilities > Open CT study, or a sample."


class DetectWidget(QWidget):
    """Run a detection on a CT layer and list what it finds.

    Signals
    -------
    settled
        The run ended: True with a complete result, else False.
    """

    settled = Signal(bool)

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._job: Job | None = None
        self._result: LiveResult | None = None
        #: Why the last run failed.
        self.error: RsnaInpaintError | None = None
        self._begun = 0.0
        self._done_then = 0

        self.source = QComboBox()
        self.detector = _choices((name, "") for name in detectors())
        self.protocol = _choices(protocols().items())
        self.protocol.setCurrentText(_DEFAULT_PROTOCOL)
        self.device = _choices(_DEVICES)
        self.start_button = QPushButton("Start")
        self.cancel_button = QPushButton("Cancel")
        self.bar = QProgressBar()
        self.message = QLabel()
        self.message.setWordWrap(True)
        self.message.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.table = FindingsTable()
        self._lay_out()

        self.source.currentIndexChanged.connect(self._introduce)
        self.start_button.clicked.connect(self.start)
        self.cancel_button.clicked.connect(self.cancel)
        self.table.chosen.connect(self.show_finding)
        for event in ("inserted", "removed", "reordered"):
            getattr(napari_viewer.layers.events, event).connect(self._list_sources)
        napari_viewer.bind_key("h", _toggle_heatmap, overwrite=True)
        write_on_canvas(napari_viewer)
        self._set_running(False)
        self._introduce()
        self._list_sources()

    def _lay_out(self) -> None:
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        for label, field in (
            ("CT", self.source),
            ("Detector", self.detector),
            ("Protocol", self.protocol),
            ("Device", self.device),
        ):
            form.addRow(label, field)
        buttons = QHBoxLayout()
        buttons.addWidget(self.start_button)
        buttons.addWidget(self.cancel_button)
        hint = QLabel("Click a finding to go to it. H hides or shows the heatmap.")
        notice = QLabel(STATEMENT)
        for text in (hint, notice):
            text.setWordWrap(True)
        self.setMinimumWidth(_WIDTH)
        layout = QVBoxLayout(self)
        layout.addLayout(form)
        layout.addLayout(buttons)
        layout.addWidget(self.bar)
        layout.addWidget(self.message)
        layout.addWidget(self.table, 1)
        layout.addWidget(hint)
        layout.addWidget(notice)

    def start(self) -> None:
        """Begin a detection with the chosen settings."""
        source = self.source.currentData()
        if self._job is not None:
            return
        if source is None or not is_ct(source):
            self.message.setText(_NO_CT)
            return
        self._result = LiveResult(self._viewer, source)
        self._result.begin()
        self.table.clear_findings()
        options: dict[str, Any] = {
            "detector": self.detector.currentText(),
            "protocol": self.protocol.currentText(),
            "device": self.device.currentText(),
        }
        job = detect_job(self._result.volume, options)
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
        self.message.setText("Preparing …")
        job.start()

    def cancel(self) -> None:
        """Stop a running detection; what is finished is kept."""
        if self._job is not None:
            self._job.cancel()
            self.cancel_button.setEnabled(False)
            self.message.setText("Stopping …")

    def show_finding(self, number: int) -> None:
        """Go to finding ``number`` (from 1)."""
        if self._result is not None:
            self.table.mark(number)
            self._result.go_to(number)

    @property
    def detection(self) -> Detection | None:
        """The last result, if its CT is still open."""
        return None if self._result is None else self._result.detection

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
        self.bar.setRange(0, total)
        self.bar.setValue(done)
        now = time.monotonic()
        if not self._begun:
            self._begun, self._done_then = now, done
        elif done > self._done_then and self.cancel_button.isEnabled():
            left = (now - self._begun) / (done - self._done_then) * (total - done)
            self.message.setText(f"Running, {_duration(left)} left")

    def _on_finished(self, detection: Detection | None, cancelled: bool) -> None:
        result = self._end_job()
        if result is None:
            return
        if not result.wanted:
            result.discard()
            self.message.setText("The CT was closed or changed, so its result was dropped.")
        elif detection is None or not detection.done.any():
            result.discard()
            self.message.setText("Stopped before the first slice was finished.")
        else:
            result.finish(detection)
            self.table.fill(detection, result.volume)
            self.message.setText(_summary(detection, cancelled))
        self.settled.emit(result.detection is not None and not cancelled)

    def _on_failed(self, error: RsnaInpaintError) -> None:
        result = self._end_job()
        if result is not None:
            result.discard()
        self.error = error
        self.message.setText(str(error))
        self.settled.emit(False)

    def _end_job(self) -> LiveResult | None:
        self._job = None
        self._set_running(False)
        return self._result

    def _set_running(self, running: bool) -> None:
        for widget in (self.source, self.detector, self.protocol, self.device):
            widget.setEnabled(not running)
        self.start_button.setEnabled(not running and self.source.count() > 0)
        self.cancel_button.setEnabled(running)
        self.bar.setVisible(running)

    def _list_sources(self, _event: Any = None) -> None:
        """Offer the CT layers, keeping the current choice where it still exists."""
        layers = [layer for layer in reversed(self._viewer.layers) if is_ct(layer)]
        if layers == [self.source.itemData(row) for row in range(self.source.count())]:
            return
        before = self.source.currentData()
        self.source.blockSignals(True)
        self.source.clear()
        for layer in layers:
            volume = layer_volume(layer)
            words = volume.description if volume is not None else ""
            self.source.addItem(f"{layer.name}  {words}".strip(), layer)
        self.source.setCurrentIndex(max(self.source.findData(before), 0))
        self.source.blockSignals(False)
        if self._job is None:
            self._set_running(False)
        if self.source.currentData() is not before:
            self._introduce()

    def _introduce(self, _row: int = -1) -> None:
        """Say what was noticed when the chosen CT was read."""
        volume = layer_volume(self.source.currentData())
        if self._job is None:
            notes = [] if volume is None else [note.message for note in volume.notes]
            self.message.setText(_NO_CT if volume is None else "\n".join(notes))


def _choices(items: Any) -> QComboBox:
    box = QComboBox()
    for row, (name, hint) in enumerate(items):
        box.addItem(name)
        box.setItemData(row, hint, Qt.ItemDataRole.ToolTipRole)
    return box


def _toggle_heatmap(viewer: Viewer) -> None:
    """Hide or show the heatmap."""
    for layer in viewer.layers:
        if layer.name.startswith("Heatmap"):
            layer.visible = not layer.visible


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"about {max(1, round(seconds / 5)) * 5} s"
    return f"about {round(seconds / 60)} min"


def _summary(detection: Detection, cancelled: bool) -> str:
    count = len(detection.findings)
    words = f"{count} finding{'' if count == 1 else 's'}" if count else "No finding"
    if cancelled:
        words += f" in the {int(detection.done.sum())} slices finished before it was stopped"
    return words + "."
