"""All keys, searchable; made from the table of actions."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtGui import QBrush, QColor
from qtpy.QtWidgets import (
    QHeaderView,
    QLineEdit,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_rsna_inpaint._qt.key_table import grouped_actions, key_words, mouse_rows

_KEY_COLOUR = "#ffd180"


class HelpPanel(QWidget):
    """Lists what can be done, by group; typing narrows the list."""

    def __init__(self) -> None:
        super().__init__()
        self.search = QLineEdit()
        self.search.setPlaceholderText("Search keys and actions")
        self.search.setClearButtonEnabled(True)
        self.tree = QTreeWidget()
        self.tree.setColumnCount(2)
        self.tree.setHeaderHidden(True)
        self.tree.setRootIsDecorated(False)
        self.tree.setIndentation(8)
        self.tree.setWordWrap(True)
        self.tree.setUniformRowHeights(False)
        self.tree.setSelectionMode(QTreeWidget.SelectionMode.NoSelection)
        self.tree.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        header = self.tree.header()
        assert header is not None
        header.setStretchLastSection(True)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.ResizeToContents)
        self._fill()
        self.search.textChanged.connect(self._narrow)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 4, 0, 0)
        layout.addWidget(self.search)
        layout.addWidget(self.tree, 1)

    def _fill(self) -> None:
        rows = [("Mouse", mouse_rows())] + [
            (group, [(", ".join(map(key_words, a.keys)), a.title) for a in actions])
            for group, actions in grouped_actions()
        ]
        for group, entries in rows:
            heading = QTreeWidgetItem([group])
            self.tree.addTopLevelItem(heading)
            heading.setFirstColumnSpanned(True)
            font = heading.font(0)
            font.setBold(True)
            heading.setFont(0, font)
            for keys, title in entries:
                item = QTreeWidgetItem([keys, title])
                item.setForeground(0, QBrush(QColor(_KEY_COLOUR)))
                item.setToolTip(1, title)
                heading.addChild(item)
        self.tree.expandAll()

    def _narrow(self, wanted: str) -> None:
        """Hide what does not hold every word that was typed."""
        words = wanted.casefold().split()
        for number in range(self.tree.topLevelItemCount()):
            heading = self.tree.topLevelItem(number)
            assert heading is not None
            found = False
            for row in range(heading.childCount()):
                item = heading.child(row)
                assert item is not None
                text = f"{heading.text(0)} {item.text(0)} {item.text(1)}".casefold()
                item.setHidden(not all(word in text for word in words))
                found |= not item.isHidden()
            heading.setHidden(not found)
