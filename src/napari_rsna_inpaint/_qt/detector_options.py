"""Which detector looks, by which protocol and with which parameters."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QComboBox, QFormLayout, QLabel, QVBoxLayout, QWidget

from napari_rsna_inpaint._qt.config_form import ConfigForm
from napari_rsna_inpaint._qt.worker import Errand, Job
from napari_rsna_inpaint.detection.base import Detector
from napari_rsna_inpaint.detection.names import detectors, protocols
from napari_rsna_inpaint.errors import RsnaInpaintError

_DEVICES = (
    ("auto", "A graphics card if there is one"),
    ("cpu", "The processor"),
    ("cuda", "An NVIDIA graphics card"),
)


class DetectorOptions(QWidget):
    """Detector, device, and a form of the detector's parameters.

    A detector is loaded in the background, since most need torch, and only when it is looked at:
    when the options are opened, or another one is chosen.

    Parameters
    ----------
    protocol
        The list of protocols, which shows those of the detector.

    Signals
    -------
    described
        A detector was loaded, or could not be.
    """

    described = Signal()

    def __init__(self, protocol: QComboBox, device: str) -> None:
        super().__init__()
        self.protocol = protocol
        self.detector = choices((name, "") for name in detectors())
        self.detector.setCurrentText("grid")
        self.device = choices(_DEVICES)
        self.device.setCurrentText(device)
        for box in (self.detector, self.device):
            # letters are keys of the reader, not a search in a list
            box.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.about = QLabel()
        self.about.setWordWrap(True)
        self.about.setTextFormat(Qt.TextFormat.PlainText)
        self.form = ConfigForm()
        self._kind: type[Detector] | None = None
        self._loading = ""

        rows = QFormLayout()
        rows.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        rows.addRow("Detector", self.detector)
        rows.addRow("Device", self.device)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(rows)
        layout.addWidget(self.about)
        layout.addWidget(self.form)
        self.form.setVisible(False)
        self.detector.currentTextChanged.connect(self.load)
        protocol.currentTextChanged.connect(self._show_preset)

    def parameters(self) -> dict[str, Any]:
        """What was changed in the form, for ``detect``."""
        return self.form.changes()

    def load(self, _name: str = "") -> None:
        """Load the chosen detector in the background and show what it is."""
        name = self.detector.currentText()
        if name == self._loading:
            return
        self._loading, self._kind = name, None
        self.about.setText("Loading …")
        self.form.setVisible(False)

        def compute(_report: Any, _cancelled: Any) -> Any:
            from napari_rsna_inpaint.detection.registry import load_detector

            return load_detector(name)

        job = Job(f"loading of the detector {name}", compute)
        Errand(
            self,
            job,
            lambda kind: self._describe(name, kind),
            lambda error: self._complain(name, error),
        )

    def _describe(self, name: str, kind: type[Detector]) -> None:
        if name != self.detector.currentText():
            return
        self._kind = kind
        self.about.setText(kind.summary)
        self.about.setToolTip(f"{kind.title}. {kind.source}")
        wanted = self.protocol.currentText()
        self.protocol.blockSignals(True)
        self.protocol.clear()
        hints = protocols()
        for row, preset in enumerate(kind.presets):
            self.protocol.addItem(preset)
            # the words of the list are those of the grid
            hint = hints.get(preset, "") if name == "grid" else ""
            self.protocol.setItemData(row, hint, Qt.ItemDataRole.ToolTipRole)
        self.protocol.setCurrentText(wanted if wanted in kind.presets else "fast")
        self.protocol.blockSignals(False)
        self._show_preset()
        self.described.emit()

    def _complain(self, name: str, error: RsnaInpaintError) -> None:
        if name == self.detector.currentText():
            self._loading = ""
            self.about.setText(str(error))
            self.described.emit()

    def _show_preset(self, _name: str = "") -> None:
        protocol = self.protocol.currentText()
        if self._kind is not None and protocol in self._kind.presets:
            self.form.show_config(self._kind.presets[protocol])
            self.form.setVisible(True)


def choices(items: Any) -> QComboBox:
    """A list of names, each with a tooltip."""
    box = QComboBox()
    for row, (name, hint) in enumerate(items):
        box.addItem(name)
        box.setItemData(row, hint, Qt.ItemDataRole.ToolTipRole)
    return box
