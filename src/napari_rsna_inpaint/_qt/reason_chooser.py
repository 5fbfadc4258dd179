"""Why a finding was rejected: one key or one click."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject, Qt, Signal
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QApplication, QGridLayout, QLabel, QPushButton, QWidget

from napari_rsna_inpaint.store import REASONS


class ReasonChooser(QWidget):
    """Shown while a reason is asked for; the next key is then taken as the answer.

    Signals
    -------
    chosen
        Code of the reason.
    asking
        Whether a reason is asked for now.
    """

    chosen = Signal(str)
    asking = Signal(bool)

    def __init__(self) -> None:
        super().__init__()
        layout = QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(QLabel("Rejected because of … (Esc: not rejected)"), 0, 0, 1, 2)
        half = (len(REASONS) + 1) // 2
        self._codes = {reason.key.lower(): reason.code for reason in REASONS}
        for number, reason in enumerate(REASONS):
            button = QPushButton(f"{reason.key}  {reason.label}")
            button.setStyleSheet("text-align: left; padding: 2px 6px;")
            button.clicked.connect(lambda _checked=False, code=reason.code: self._answer(code))
            layout.addWidget(button, number % half + 1, number // half)
        self.setVisible(False)

    def ask(self) -> None:
        """Ask for a reason."""
        if not self.isVisibleTo(self.parentWidget()):
            self.setVisible(True)
            self.asking.emit(True)
            app = QApplication.instance()
            assert app is not None
            app.installEventFilter(self)

    def dismiss(self) -> None:
        """Stop asking."""
        self.setVisible(False)
        self.asking.emit(False)
        app = QApplication.instance()
        if app is not None:
            app.removeEventFilter(self)

    def eventFilter(self, _object: QObject | None, event: QEvent | None) -> bool:  # noqa: N802
        """Take the next key, wherever the focus is."""
        if not isinstance(event, QKeyEvent) or event.type() not in (
            QEvent.Type.KeyPress,
            QEvent.Type.ShortcutOverride,
        ):
            return False
        key = event.text().lower()
        if event.type() == QEvent.Type.KeyPress:
            if key in self._codes:
                self._answer(self._codes[key])
            elif event.key() == Qt.Key.Key_Escape:
                self.dismiss()
        event.accept()
        return True

    def _answer(self, code: str) -> None:
        self.dismiss()
        self.chosen.emit(code)
