"""Why a finding was rejected: one key or one click."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject, Qt, Signal
from qtpy.QtGui import QHideEvent, QKeyEvent
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
        self._asking = False
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
        app = QApplication.instance()
        assert app is not None
        if not self._asking:
            self._asking = True
            self.setVisible(True)
            self.asking.emit(True)
            app.installEventFilter(self)

    def dismiss(self) -> None:
        """Stop asking."""
        app = QApplication.instance()
        assert app is not None
        if self._asking:
            self._asking = False
            self.setVisible(False)
            self.asking.emit(False)
            app.removeEventFilter(self)

    def eventFilter(self, _object: QObject | None, event: QEvent | None) -> bool:  # noqa: N802
        """Take the next key, wherever the focus is."""
        if (
            not isinstance(event, QKeyEvent)
            or event.type() not in (QEvent.Type.KeyPress, QEvent.Type.ShortcutOverride)
            or not self._in_front()
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

    def hideEvent(self, event: QHideEvent | None) -> None:  # noqa: N802
        """Stop asking where the question is not seen any more: another tab, a closed dock."""
        super().hideEvent(event)
        if event is not None and not event.spontaneous():
            self.dismiss()

    def _in_front(self) -> bool:
        """Whether keys are meant for the window, and not for a dialog or a menu over it."""
        window = self.window()
        assert window is not None
        # a dock that floats is a window of its own, the main one is its parent
        ours = (None, window, window.parentWidget())
        return QApplication.activeWindow() in ours and QApplication.activePopupWidget() is None

    def _answer(self, code: str) -> None:
        self.dismiss()
        self.chosen.emit(code)
