from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_head import make_series, plastic_head, save
from qtpy.QtCore import Qt, QTimer
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QDialogButtonBox, QInputDialog

from napari_rsna_inpaint._qt.reader import read_asking
from napari_rsna_inpaint._qt.series_dialog import SeriesDialog
from napari_rsna_inpaint.io import inspect

pytestmark = pytest.mark.gui

HU = plastic_head()


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Two series to choose from, one with two phases, and two that cannot be read."""
    save(tmp_path / "a", make_series(HU, series="1.2.30"))
    bone = make_series(HU[:3], series="1.2.31")
    for ds in bone:
        ds.ConvolutionKernel, ds.SeriesDescription, ds.SliceThickness = "H60", "BONE 1mm", 1
    save(tmp_path / "b", bone)
    phases = [*make_series(HU, series="1.2.32"), *make_series(HU + 5, series="1.2.32")]
    for number, ds in enumerate(phases):
        ds.AcquisitionNumber = 1 + number // len(HU)
    save(tmp_path / "c", phases)
    other = make_series(HU, series="1.2.33")
    for ds in other:
        ds.Modality = "MR"
    save(tmp_path / "d", other)
    unscaled = make_series(HU, series="1.2.34")
    for ds in unscaled:
        del ds.RescaleSlope, ds.RescaleIntercept
    save(tmp_path / "e", unscaled)
    return tmp_path


def row_of(dialog: SeriesDialog, uid: str) -> int:
    return [row["uid"] for row in dialog._rows].index(uid)


def test_the_table_says_what_each_series_is_and_chooses_none(qtbot: Any, study: Path) -> None:
    rows = inspect(study)["series"]
    dialog = SeriesDialog(rows)
    qtbot.addWidget(dialog)
    table, shown = dialog.table, {}
    for number, row in enumerate(rows):
        cells = [table.item(number, column) for column in range(table.columnCount())]
        assert all(cells)
        shown[row["uid"]] = cells
    texts = [cell.text() for cell in shown["1.2.31"]]
    assert texts[:6] == ["BONE 1mm", "3", "1 mm", "5.00 mm", "0.50 mm", "H60"]
    for uid in ("1.2.33", "1.2.34"):
        reason = rows[row_of(dialog, uid)]["messages"][0]
        for cell in shown[uid]:
            assert not cell.flags() & Qt.ItemFlag.ItemIsEnabled
            assert reason in cell.toolTip()
        assert reason in shown[uid][-1].text()
    for uid in ("1.2.30", "1.2.31", "1.2.32"):
        assert shown[uid][0].flags() & Qt.ItemFlag.ItemIsSelectable

    button = dialog.buttons.button(QDialogButtonBox.StandardButton.Open)
    assert dialog.uid is None
    assert not button.isEnabled()
    dialog.accept()
    assert not dialog.result()
    table.selectRow(row_of(dialog, "1.2.33"))
    assert dialog.uid is None
    table.selectRow(row_of(dialog, "1.2.31"))
    assert dialog.uid == "1.2.31"
    assert button.isEnabled()


def answer_next(act: Callable[[Any], None]) -> None:
    """Do something in the dialog that opens next."""

    def look() -> None:
        dialog = QApplication.activeModalWidget()
        if dialog is None:
            QTimer.singleShot(20, look)
        else:
            act(dialog)

    QTimer.singleShot(20, look)


@pytest.mark.parametrize("how", ["double-click", "enter"])
def test_a_double_click_or_enter_opens_the_series(qtbot: Any, study: Path, how: str) -> None:
    def choose(dialog: SeriesDialog) -> None:
        table = dialog.table
        row = row_of(dialog, "1.2.31")
        place = table.visualItemRect(table.item(row, 0)).center()
        QTest.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=place)
        if how == "enter":
            QTest.keyClick(table, Qt.Key.Key_Return)
        else:
            QTest.mouseDClick(table.viewport(), Qt.MouseButton.LeftButton, pos=place)

    answer_next(choose)
    volume = read_asking(study)
    assert volume is not None
    assert np.array_equal(volume.hu, HU[:3])


def test_a_question_within_the_series_follows(
    qtbot: Any, study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def choose(dialog: SeriesDialog) -> None:
        dialog.table.selectRow(row_of(dialog, "1.2.32"))
        dialog.accept()

    asked = []

    def second(*arguments: Any) -> tuple[str, bool]:
        asked.append(arguments[3])
        return arguments[3][1], True

    monkeypatch.setattr(QInputDialog, "getItem", second)
    answer_next(choose)
    volume = read_asking(study)
    assert volume is not None
    assert len(asked) == 1
    assert np.array_equal(volume.hu, HU + 5)


def test_closing_the_table_opens_nothing(qtbot: Any, study: Path) -> None:
    answer_next(lambda dialog: dialog.reject())
    assert read_asking(study) is None
