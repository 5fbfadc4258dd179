"""The list of findings; a click asks to see one."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem

from napari_rsna_inpaint._qt.layers import side
from napari_rsna_inpaint.detection.result import Detection
from napari_rsna_inpaint.volume import CTVolume

_COLUMNS = (
    ("Slices", "First and last slice, counted from 1"),
    ("Side", "Side of the patient"),
    ("ml", "Volume in millilitres"),
    ("HU", "Mean density of the original in HU"),
    ("Δ HU", "Mean residual in HU: original minus healthy completion"),
    ("Score", "Calibrated score; higher is more anomalous"),
)


class FindingsTable(QTableWidget):
    """One row per finding, highest score first.

    Signals
    -------
    chosen
        Number of the finding, from 1.
    """

    chosen = Signal(int)

    def __init__(self) -> None:
        super().__init__(0, len(_COLUMNS))
        for column, (title, hint) in enumerate(_COLUMNS):
            header = QTableWidgetItem(title)
            header.setToolTip(hint)
            self.setHorizontalHeaderItem(column, header)
        for header_view in (self.horizontalHeader(), self.verticalHeader()):
            assert header_view is not None
            header_view.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.currentCellChanged.connect(self._on_current)
        # A click on the row that is already current leads back to the finding, too.
        self.cellClicked.connect(lambda row, _column: self.chosen.emit(row + 1))

    def fill(self, detection: Detection, volume: CTVolume) -> None:
        """Show the findings of a detection without choosing one."""
        self.clear_findings()
        self.setRowCount(len(detection.findings))
        for row, finding in enumerate(detection.findings):
            first, last = (index + 1 for index in finding.slices)
            texts = (
                f"{first}" if first == last else f"{first}–{last}",
                side(finding, detection, volume),
                f"{finding.volume_ml:.1f}",
                f"{finding.mean_hu:.0f}",
                f"{finding.mean_residual_hu:+.0f}",
                f"{finding.score:.2f}",
            )
            meaning = "brighter" if finding.sign == "hyper" else "darker"
            for column, text in enumerate(texts):
                item = QTableWidgetItem(text)
                item.setToolTip(f"{finding.id}: {meaning} than its healthy completion")
                if column != 1:
                    item.setTextAlignment(
                        Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
                    )
                self.setItem(row, column, item)

    def mark(self, number: int) -> None:
        """Select the row of a finding (from 1) without asking to go there."""
        self.blockSignals(True)
        self.selectRow(number - 1)
        self.blockSignals(False)

    def clear_findings(self) -> None:
        """Forget all rows."""
        self.blockSignals(True)
        self.setRowCount(0)
        self.blockSignals(False)

    def _on_current(self, row: int, _column: int, before: int, _before_column: int) -> None:
        if row >= 0 and row != before:
            self.chosen.emit(row + 1)
