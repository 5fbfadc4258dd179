"""Which detector looks, by which protocol and with which parameters."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QComboBox, QFormLayout, QLabel, QVBoxLayout, QWidget

from napari_rsna_inpaint._qt.config_form import ConfigForm
from napari_rsna_inpaint._qt.worker import Errand, Job
from napari_rsna_inpaint.detection.names import detectors, protocols
from napari_rsna_inpaint.errors import RsnaInpaintError

if TYPE_CHECKING:
    # It loads torch; that takes seconds and must not happen in the window.
    from napari_rsna_inpaint.detection.base import Detector

_USUAL = "grid"
_DEVICES = (
    ("auto", "A graphics card if there is one"),
    ("cpu", "The processor"),
    ("cuda", "An NVIDIA graphics card"),
)


class DetectorOptions(QWidget):
    """Detector, device, and a form of the detector's parameters.

    The detectors are loaded in the background, since most need torch, and only when they are
    looked at, or when one is preferred whose protocols are not known.

    Parameters
    ----------
    protocol
        The list of protocols, which shows those of the detector.
    detector, device
        What is chosen at first; the usual detector where this one is not installed.

    Signals
    -------
    described
        The detectors were loaded.
    changed
        Detector, protocol or a parameter was changed.
    """

    described = Signal()
    changed = Signal()

    def __init__(self, protocol: QComboBox, detector: str, device: str) -> None:
        super().__init__()
        self.protocol = protocol
        self.detector = QComboBox()
        for name in detectors():
            # the title takes its place when it is known
            self.detector.addItem(name, name)
        wanted = detector if self.detector.findData(detector) >= 0 else _USUAL
        self.detector.setCurrentIndex(self.detector.findData(wanted))
        self.device = choices(_DEVICES)
        self.device.setCurrentText(device)
        for box in (self.detector, self.device):
            # letters are keys of the reader, not a search in a list
            box.setFocusPolicy(Qt.FocusPolicy.NoFocus)
            box.setSizeAdjustPolicy(
                QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
            )
        self.about, self.source = QLabel(), QLabel()
        for label in (self.about, self.source):
            label.setWordWrap(True)
            label.setTextFormat(Qt.TextFormat.PlainText)
        self.source.setStyleSheet("color: #90a4ae; font-size: 11px;")
        self.form = ConfigForm()
        self._found: dict[str, type[Detector] | RsnaInpaintError] = {}
        self._loading = False

        rows = QFormLayout()
        rows.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        rows.addRow("Detector", self.detector)
        rows.addRow(self.about)
        rows.addRow(self.source)
        rows.addRow("Device", self.device)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 4, 0, 0)
        layout.addLayout(rows)
        layout.addWidget(self.form, 1)
        # keeps the rows at the top where there is no form
        layout.addStretch()
        self._say("")
        self.detector.currentIndexChanged.connect(self._describe)
        protocol.currentTextChanged.connect(self._show_preset)
        self.form.changed.connect(self.changed)
        if wanted != _USUAL:
            self.load()

    @property
    def name(self) -> str:
        """Name of the chosen detector."""
        return self.detector.currentData()

    @property
    def loading(self) -> bool:
        """Whether it is not yet known what the chosen detector offers."""
        return self._loading

    def parameters(self) -> dict[str, Any]:
        """What was changed in the form, for ``detect``."""
        return self.form.changes() if self._kind is not None else {}

    def problem(self) -> str:
        """Why what is entered cannot be used; empty where it can."""
        return self.form.problem() if self._kind is not None else ""

    def unusual(self) -> str:
        """In a few words what differs from the usual detector and its protocols, or empty."""
        count = len(self.parameters())
        if self.name == _USUAL and not count:
            return ""
        values = f", {count} value{'' if count == 1 else 's'} changed" if count else ""
        return f"{self.detector.currentText()}{values}"

    def load(self) -> None:
        """Load the detectors in the background, once, and show what the chosen one is."""
        if self._found or self._loading:
            return
        self._loading = True
        self._say("Loading the detectors …")
        names = detectors()

        def compute(_report: Any, _cancelled: Any) -> Any:
            from napari_rsna_inpaint.detection.registry import load_detector

            found: dict[str, Any] = {}
            for name in names:
                try:
                    found[name] = load_detector(name)
                except RsnaInpaintError as error:
                    # told when it is chosen; the others can be used
                    found[name] = error
            return found

        Errand(self, Job("loading of the detectors", compute), self._take, self._complain)

    def showEvent(self, event: QShowEvent | None) -> None:  # noqa: N802
        """Load what is looked at."""
        super().showEvent(event)
        self.load()

    @property
    def _kind(self) -> type[Detector] | None:
        found = self._found.get(self.name)
        return None if isinstance(found, RsnaInpaintError) else found

    def _take(self, found: dict[str, type[Detector] | RsnaInpaintError]) -> None:
        self._loading, self._found = False, found
        for row in range(self.detector.count()):
            kind = found[self.detector.itemData(row)]
            if not isinstance(kind, RsnaInpaintError):
                self.detector.setItemText(row, kind.title)
                hint = f"{kind.name}: {kind.summary}"
                self.detector.setItemData(row, hint, Qt.ItemDataRole.ToolTipRole)
        self._describe()
        self.described.emit()

    def _complain(self, error: RsnaInpaintError) -> None:
        self._loading = False
        self._say(str(error))
        self.described.emit()

    def _describe(self, _row: int = -1) -> None:
        """Show what the chosen detector is, its protocols and its parameters."""
        kind = self._kind
        if kind is None:
            error = self._found.get(self.name)
            if error is not None:
                self._say(str(error))
            self.load()
            self.changed.emit()
            return
        self._say(kind.summary, f"Source: {kind.source}")
        wanted = self.protocol.currentText()
        self.protocol.blockSignals(True)
        self.protocol.clear()
        for row, preset in enumerate(kind.presets):
            self.protocol.addItem(preset)
            # the words of the list are those of the grid
            hint = protocols().get(preset, "") if kind.name == _USUAL else ""
            self.protocol.setItemData(row, hint, Qt.ItemDataRole.ToolTipRole)
        self.protocol.setCurrentText(wanted if wanted in kind.presets else "fast")
        self.protocol.blockSignals(False)
        self._show_preset()

    def _say(self, about: str, source: str = "") -> None:
        """Describe a detector, or say why there is nothing to describe."""
        self.about.setText(about)
        self.source.setText(source)
        self.source.setVisible(bool(source))
        self.form.setVisible(bool(source))

    def _show_preset(self, _name: str = "") -> None:
        kind, protocol = self._kind, self.protocol.currentText()
        if kind is not None and protocol in kind.presets:
            self.form.show_config(kind.presets[protocol])
        self.changed.emit()


def choices(items: Iterable[tuple[str, str]]) -> QComboBox:
    """A list of names, each with a tooltip."""
    box = QComboBox()
    for row, (name, hint) in enumerate(items):
        box.addItem(name)
        box.setItemData(row, hint, Qt.ItemDataRole.ToolTipRole)
    return box
