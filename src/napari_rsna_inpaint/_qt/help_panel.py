"""All keys, searchable; made from the table of actions."""

from __future__ import annotations

from html import escape

from qtpy.QtCore import Qt
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QLineEdit, QTextBrowser, QVBoxLayout, QWidget

from napari_rsna_inpaint._qt.key_table import key_rows
from napari_rsna_inpaint._qt.settings import settings

_KEY_COLOUR = "#ffd180"


class HelpPanel(QWidget):
    """Lists what can be done, by group; typing narrows the list."""

    def __init__(self) -> None:
        super().__init__()
        self.search = QLineEdit()
        self.search.setPlaceholderText("Search keys and actions")
        self.search.setClearButtonEnabled(True)
        self.list = QTextBrowser()
        # keys typed here are meant for the images
        self.list.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.search.textChanged.connect(self._show)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 4, 0, 0)
        layout.addWidget(self.search)
        layout.addWidget(self.list, 1)
        self._show()

    def showEvent(self, event: QShowEvent | None) -> None:  # noqa: N802
        """Name the window presets as they are preferred now."""
        super().showEvent(event)
        self._show()

    def _show(self, _text: str = "") -> None:
        """List what holds every word that was typed."""
        words = self.search.text().casefold().split()
        lines = []
        for group, rows in key_rows(settings().presets):
            found = [
                (keys, title)
                for keys, title in rows
                if all(word in f"{group} {keys} {title}".casefold() for word in words)
            ]
            if found:
                lines.append(f"<tr><td colspan=2><b>{escape(group)}</b></td></tr>")
            lines += [
                f"<tr><td style='color: {_KEY_COLOUR}; white-space: nowrap; padding-right: 8px'>"
                f"{escape(keys)}</td><td>{escape(title)}</td></tr>"
                for keys, title in found
            ]
        place = self.list.verticalScrollBar()
        before = 0 if place is None else place.value()
        self.list.setHtml(f"<table>{''.join(lines)}</table>")
        if place is not None:
            place.setValue(before)
