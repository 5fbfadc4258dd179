"""A line of text for the person at the screen, with the details of an error behind a button."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QHBoxLayout, QLabel, QMessageBox, QToolButton, QWidget

from napari_rsna_inpaint.errors import RsnaInpaintError


class Message(QWidget):
    """Says what happens; a new message takes the place of the last one."""

    def __init__(self) -> None:
        super().__init__()
        self._label = QLabel()
        self._label.setWordWrap(True)
        self._label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.button = QToolButton()
        self.button.setText("Details")
        self.button.setVisible(False)
        self.button.clicked.connect(self._show_details)
        self._details = ""
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._label, 1)
        layout.addWidget(self.button, 0, Qt.AlignmentFlag.AlignTop)

    def text(self) -> str:
        """What is said."""
        return self._label.text()

    def say(self, text: str) -> None:
        """Show one or more sentences; nothing hides the line."""
        self._label.setText(text)
        self._details = ""
        self.button.setVisible(False)
        self.setVisible(bool(text))

    def complain(self, error: RsnaInpaintError) -> None:
        """Show the sentence of an error, and a button where there is more to know."""
        self.say(str(error))
        self._details = error.details
        self.button.setVisible(bool(error.details))

    def _show_details(self) -> None:
        box = QMessageBox(QMessageBox.Icon.Warning, "Details", self.text(), parent=self)
        box.setDetailedText(self._details)
        for button in box.buttons():
            # the one that unfolds the text: the reader has asked for it already
            if box.buttonRole(button) == QMessageBox.ButtonRole.ActionRole:
                button.click()
        box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        box.open()
