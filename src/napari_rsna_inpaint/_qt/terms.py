"""Shown when a model is used for the first time: its terms, and what it is not for."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFrame, QLabel, QPushButton, QVBoxLayout

from napari_rsna_inpaint import STATEMENT


class Terms(QFrame):
    """The terms of a model, until the reader says that they were read.

    Signals
    -------
    understood
        The button was pressed.
    """

    understood = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setFrameShape(QFrame.Shape.StyledPanel)
        self._text = QLabel()
        self._text.setWordWrap(True)
        self.button = QPushButton("Understood")
        self.button.clicked.connect(self._close)
        layout = QVBoxLayout(self)
        layout.addWidget(self._text)
        layout.addWidget(self.button)
        self.setVisible(False)

    def text(self) -> str:
        """What is shown."""
        return self._text.text()

    def show_terms(self, model: str, licence: str) -> None:
        """Show the licence line of a model's card."""
        self._text.setText(f"<b>{STATEMENT}</b><br>Model {model}. {licence}")
        self.setVisible(True)

    def _close(self) -> None:
        self.setVisible(False)
        self.understood.emit()
