"""Which series of an input to read: a table to choose from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from napari.qt import get_stylesheet
from napari.settings import get_settings
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QApplication,
    QDialog,
    QDialogButtonBox,
    QHeaderView,
    QLabel,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
)

_COLUMNS = ("Series", "Slices", "Thickness", "Distance", "Pixel", "Kernel", "Remarks")
_REMARKS = len(_COLUMNS) - 1
_SIZE = (900, 380)


class SeriesDialog(QDialog):
    """Asks for a series; none is chosen beforehand.

    Parameters
    ----------
    rows
        ``series`` of `napari_rsna_inpaint.io.inspect`. Those that cannot be read are greyed
        out, with the reason.
    """

    def __init__(self, rows: Sequence[dict[str, Any]]) -> None:
        super().__init__(QApplication.activeWindow())
        self._rows = list(rows)
        self.setWindowTitle("Open a CT study")
        # the dialog may come before any napari window that would lend it its looks
        self.setStyleSheet(get_stylesheet(get_settings().appearance.theme))
        self.table = QTableWidget(len(self._rows), len(_COLUMNS))
        self.buttons = QDialogButtonBox(
            QDialogButtonBox.StandardButton.Open | QDialogButtonBox.StandardButton.Cancel
        )
        self._fill()
        self._lay_out()
        self.table.itemSelectionChanged.connect(self._allow)
        self.table.itemDoubleClicked.connect(lambda _item: self.accept())
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        self._allow()

    @property
    def uid(self) -> str | None:
        """UID of the chosen series, or None."""
        chosen = self.table.selectedItems()
        return self._rows[chosen[0].row()]["uid"] if chosen else None

    def accept(self) -> None:
        """Close with the chosen series; not without one."""
        if self.uid is not None:
            super().accept()

    def _fill(self) -> None:
        table = self.table
        table.setHorizontalHeaderLabels(_COLUMNS)
        for number, row in enumerate(self._rows):
            # a question without answers leaves nothing to read
            readable = row["outcome"] in ("ok", "note") or bool(row["choices"])
            reason = "\n".join(row["messages"]) or "can be read"
            for column, text in enumerate(_texts(row)):
                item = QTableWidgetItem(text)
                item.setToolTip(reason)
                if not readable:
                    item.setFlags(Qt.ItemFlag.NoItemFlags)
                table.setItem(number, column, item)

    def _lay_out(self) -> None:
        table = self.table
        table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        table.setTabKeyNavigation(False)
        header, numbers = table.horizontalHeader(), table.verticalHeader()
        assert header is not None
        assert numbers is not None
        numbers.setVisible(False)
        numbers.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(_REMARKS, QHeaderView.ResizeMode.Stretch)
        self.resize(*_SIZE)
        layout = QVBoxLayout(self)
        layout.addWidget(QLabel(f"The input holds {len(self._rows)} CT series. Which one?"))
        layout.addWidget(table, 1)
        layout.addWidget(self.buttons)

    def _allow(self) -> None:
        button = self.buttons.button(QDialogButtonBox.StandardButton.Open)
        assert button is not None
        button.setEnabled(self.uid is not None)


def _texts(row: dict[str, Any]) -> tuple[str, ...]:
    thickness, spacing = row["thickness_mm"], row["spacing_mm"]
    return (
        row["description"] or "(no description)",
        str(row["n_slices"] or ""),
        f"{thickness:g} mm" if thickness else "",
        f"{spacing[0]:.2f} mm" if spacing else "",
        f"{spacing[1]:.2f} mm" if spacing else "",
        row["kernel"],
        " ".join(row["messages"]),
    )
