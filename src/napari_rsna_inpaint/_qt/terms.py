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

    def show_terms(self, terms: tuple[str, ...]) -> None:
        """Show what the models' cards say of their licence."""
        self._text.setText("<br>".join([f"<b>{STATEMENT}</b>", *terms]))
        self.setVisible(True)

    def _close(self) -> None:
        self.setVisible(False)
        self.understood.emit()
