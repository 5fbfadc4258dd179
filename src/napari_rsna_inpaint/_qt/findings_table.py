"""The list of findings; a click asks to see one."""

from __future__ import annotations

import math

from qtpy.QtCore import QModelIndex, Qt, Signal
from qtpy.QtGui import QColor, QKeyEvent, QPalette
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableWidget,
    QTableWidgetItem,
)

from napari_rsna_inpaint._qt.findings_list import Entry

_COLUMNS = (
    ("", "Finding; the colour is that of its verdict"),
    ("Slice", "First and last slice, counted from 1"),
    ("Side", "Side of the patient: right, left, middle"),
    ("ml", "Volume in millilitres"),
    ("HU", "Mean density of the original in HU"),
    ("ΔHU", "Mean residual in HU: original minus healthy completion"),
    ("Score", "Calibrated score; higher is more anomalous"),
    ("Verdict", "Accepted, rejected, unsure or supplemented; open where empty"),
)
_LEFT = {0, 2, 7}
_STYLE = """
QTableView::item { padding: 0 2px; }
QTableView::item:selected { background: #335e7c; }
QHeaderView { font-size: 11px; }
QHeaderView::section { background: #16181b; border: none; padding: 2px; }
"""
_SIDES = {"right": "R", "left": "L", "middle": "mid"}


class _Coloured(QStyledItemDelegate):
    """Leaves the colour of the verdict to the row that is chosen."""

    def initStyleOption(  # noqa: N802
        self, option: QStyleOptionViewItem | None, index: QModelIndex
    ) -> None:
        """Take the colour of the text for the chosen row too."""
        super().initStyleOption(option, index)
        colour = index.data(Qt.ItemDataRole.ForegroundRole)
        if option is not None and colour is not None:
            option.palette.setBrush(QPalette.ColorRole.HighlightedText, colour)


class FindingsTable(QTableWidget):
    """One row per finding, in the order given.

    Signals
    -------
    chosen
        Identity of the finding.
    key_pressed
        A key without modifiers that the table has no use for, in lower case.
    """

    chosen = Signal(str)
    key_pressed = Signal(str)

    def __init__(self) -> None:
        super().__init__(0, len(_COLUMNS))
        for column, (title, hint) in enumerate(_COLUMNS):
            header = QTableWidgetItem(title)
            header.setToolTip(hint)
            self.setHorizontalHeaderItem(column, header)
        across, down = self.horizontalHeader(), self.verticalHeader()
        assert across is not None
        assert down is not None
        across.setMinimumSectionSize(24)
        across.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        across.setSectionResizeMode(len(_COLUMNS) - 1, QHeaderView.ResizeMode.Stretch)
        down.setVisible(False)
        down.setDefaultSectionSize(24)
        self.setStyleSheet(_STYLE)
        self.setItemDelegate(_Coloured(self))
        across.setHighlightSections(False)
        self.setShowGrid(False)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self._ids: list[str] = []
        self.currentCellChanged.connect(self._on_current)
        # A click on the row that is already current leads back to the finding, too.
        self.cellClicked.connect(lambda row, _column: self.chosen.emit(self._ids[row]))

    def fill(self, entries: list[Entry]) -> None:
        """Show these findings without choosing one."""
        self.blockSignals(True)
        self.setRowCount(len(entries))
        self._ids = [entry.id for entry in entries]
        for row, entry in enumerate(entries):
            for column, text in enumerate(_texts(entry)):
                item = QTableWidgetItem(text)
                item.setToolTip(_meaning(entry))
                level = Qt.AlignmentFlag.AlignVCenter
                aside = (
                    Qt.AlignmentFlag.AlignLeft if column in _LEFT else Qt.AlignmentFlag.AlignRight
                )
                item.setTextAlignment(aside | level)
                if column == 0 or (column == 7 and text):
                    item.setForeground(QColor(entry.colour))
                elif entry.word == "rejected":
                    item.setForeground(QColor("#90a4ae"))
                self.setItem(row, column, item)
        self.blockSignals(False)

    def mark(self, finding: str) -> None:
        """Select the row of a finding without asking to go there."""
        self.blockSignals(True)
        if finding in self._ids:
            self.selectRow(self._ids.index(finding))
        else:
            self.clearSelection()
            self.setCurrentCell(-1, -1)
        self.blockSignals(False)

    def keyPressEvent(self, event: QKeyEvent | None) -> None:  # noqa: N802
        """Hand letters on: they are verdicts, not a search in the list."""
        assert event is not None
        text = event.text().lower()
        plain = event.modifiers() in (
            Qt.KeyboardModifier.NoModifier,
            Qt.KeyboardModifier.KeypadModifier,
        )
        if plain and text.isalnum():
            self.key_pressed.emit(text)
        else:
            super().keyPressEvent(event)

    def _on_current(self, row: int, _column: int, before: int, _before_column: int) -> None:
        if row >= 0 and row != before:
            self.chosen.emit(self._ids[row])


def _texts(entry: Entry) -> tuple[str, ...]:
    finding = entry.finding
    first, last = (index + 1 for index in finding.slices)
    return (
        finding.id,
        f"{first}" if first == last else f"{first}–{last}",
        _SIDES[entry.side],
        f"{finding.volume_ml:.1f}",
        f"{finding.mean_hu:.0f}",
        f"{finding.mean_residual_hu:+.0f}",
        "" if math.isnan(entry.score) else f"{entry.score:.2f}",
        entry.word,
    )


def _meaning(entry: Entry) -> str:
    meaning = "brighter" if entry.finding.sign == "hyper" else "darker"
    return f"{entry.id}: {meaning} than its healthy completion"
