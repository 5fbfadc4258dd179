"""Reading a study: findings, verdicts by key, what is kept, and what comes back."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_rsna_inpaint.detection.result import Detection
from napari_rsna_inpaint.errors import OutputFailed
from napari_rsna_inpaint.evaluate.phantom import Phantom
from napari_rsna_inpaint.store import Store, open_store

pytestmark = pytest.mark.gui


@pytest.fixture
def two_findings(fake: Any, detection: Detection) -> Detection:
    """The lesion, and a region below the operating point in the corner of the next slice."""
    finding = detection.findings[0]
    labels = np.array(detection.maps.labels)
    z = finding.slices[0]
    labels[z, 40:44, 40:44] = 2
    other = replace(finding, id="F2", slices=(z, z), bbox=(z, 40, 40, z + 1, 44, 44), score=0.4)
    detection.maps = replace(detection.maps, labels=labels)
    detection.further = [other]
    return detection


@pytest.fixture
def open_study(
    make_napari_viewer: Callable, phantom: Phantom, qtbot: Any
) -> Callable[[], tuple[Any, Any]]:
    """Open the phantom in a new window and wait until it is known what was there before."""
    from napari_rsna_inpaint._qt.study import dock, show_study

    def opened() -> tuple[Any, Any]:
        viewer = make_napari_viewer(show=True)
        station = dock(viewer)
        show_study(viewer, phantom.volume)
        qtbot.waitUntil(lambda: station.opened, timeout=20_000)
        return viewer, station

    return opened


def detect(station: Any, qtbot: Any) -> None:
    with qtbot.waitSignal(station.detect.settled, timeout=10_000):
        station.detect.start()
    qtbot.waitUntil(lambda: not station.busy, timeout=20_000)


def canvas(viewer: Any) -> Any:
    return viewer.window._qt_viewer.canvas.native


def stored() -> dict[str, Any]:
    """What counts in the newest run, read by somebody else."""
    with open_store() as store:
        events = store.events()
        return store.verdicts(events[0].run) if events else {}


@pytest.mark.usefixtures("two_findings")
def test_two_keys_judge_a_finding_and_it_is_on_disk_and_there_again(
    open_study: Callable, qtbot: Any
) -> None:
    from qtpy.QtCore import Qt

    key = Qt.Key
    viewer, station = open_study()
    detect(station, qtbot)
    assert station.findings.table.rowCount() == 1
    station.findings.further.setChecked(True)
    assert station.findings.table.rowCount() == 2
    place = canvas(viewer)
    qtbot.keyClick(place, key.Key_N)
    assert station.reading.finding == "F1"
    z = round(viewer.layers["CT"].world_to_data(viewer.dims.point)[0])
    assert (station.reading.detection.labels[z] == 1).any()

    qtbot.keyClick(place, key.Key_R)
    assert not stored()
    qtbot.keyClick(place, key.Key_2)
    assert stored()["F1"].reason == "falx-tentorium-sinus"
    assert station.reading.finding == "F2", "the next open finding comes by itself"
    qtbot.keyClick(place, key.Key_A)
    assert stored()["F2"].verdict == "accepted"
    assert "1 accepted" in station.findings.counters.text()
    features = viewer.layers["Findings"].features
    assert list(features["verdict"]) == ["", "rejected", "accepted"]
    qtbot.keyClick(place, key.Key_Z)
    assert "F2" not in stored()
    qtbot.keyClick(station.findings.table, key.Key_U)
    assert stored()["F2"].verdict == "unsure"
    station.findings.note.setText("thalamus")
    qtbot.keyClick(station.findings.note, key.Key_Return)
    assert stored()["F2"].note == "thalamus"
    qtbot.keyClicks(station.findings.note, " right")
    station._list()
    qtbot.mouseClick(station.findings.buttons["unsure"], Qt.MouseButton.LeftButton)
    assert stored()["F2"].note == "thalamus right", "what was typed is kept, whatever comes next"
    viewer.layers["CT"].contrast_limits = (0, 120)
    qtbot.waitUntil(lambda: not station._settling.isActive(), timeout=2000)

    again, other = open_study()
    qtbot.waitUntil(lambda: other.reading.detection is not None, timeout=10_000)
    assert {layer.name for layer in again.layers} >= {"CT", "Heatmap", "Findings", "Brain mask"}
    assert other.reading.finding == "F2"
    assert np.allclose(again.dims.point, viewer.dims.point)
    assert tuple(again.layers["CT"].contrast_limits) == (0, 120)
    assert "1 rejected" in other.findings.counters.text()
    assert other.findings.note.text() == "thalamus right"


@pytest.mark.usefixtures("two_findings")
def test_what_was_missed_is_drawn_and_can_be_taken_back(open_study: Callable, qtbot: Any) -> None:
    from qtpy.QtCore import Qt

    viewer, station = open_study()
    detect(station, qtbot)
    qtbot.keyClick(canvas(viewer), Qt.Key.Key_S)
    assert "press S again" in station.detect.message.text()
    region = viewer.layers["Region"]
    region.data_setitem((np.full(9, 4), *np.indices((3, 3)).reshape(2, -1) + 50), 1)
    qtbot.keyClick(canvas(viewer), Qt.Key.Key_S)
    assert stored()["S1"].verdict == "supplemented"
    assert station.reading.finding == "S1"
    labels = np.asarray(viewer.layers["Findings"].data)
    assert (labels == 3).sum() == 9
    assert not np.asarray(region.data).any()
    viewer.layers.selection.active = viewer.layers["CT"]
    qtbot.keyClick(canvas(viewer), Qt.Key.Key_Z)
    assert "S1" not in stored()
    assert not (np.asarray(viewer.layers["Findings"].data) == 3).any()


def test_a_verdict_that_cannot_be_kept_is_not_shown_as_given(
    open_study: Callable, fake: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, station = open_study()
    detect(station, qtbot)
    station.next_finding()

    def full(*_: Any, **__: Any) -> None:
        raise OutputFailed("The disk is full: free some space.")

    with monkeypatch.context() as broken:
        broken.setattr(Store, "record", full)
        station.accept()
    assert "disk is full" in station.detect.message.text()
    assert "1 open" in station.findings.counters.text()
    station.accept()
    assert stored()["F1"].verdict == "accepted"


def test_a_store_that_cannot_be_read_costs_no_result(
    open_study: Callable, fake: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    damaged = tmp_path / "damaged.sqlite"
    damaged.write_bytes(b"SQLite format 3\0" + bytes(range(256)) * 20)
    monkeypatch.setenv("RSNA_INPAINT_STORE", str(damaged))
    before = damaged.read_bytes()
    _, station = open_study()
    assert str(damaged.name) in station.detect.message.text()
    detect(station, qtbot)
    assert station.findings.table.rowCount() == 1
    station.next_finding()
    station.accept()
    assert "verdict" in station.detect.message.text()
    assert damaged.read_bytes() == before


def test_terms_are_shown_until_they_were_read_once(
    open_study: Callable, fake: Any, qtbot: Any
) -> None:
    _, station = open_study()
    detect(station, qtbot)
    assert station.terms.isVisible()
    assert "not for diagnosis" in station.terms.text()
    assert "non-commercial" in station.terms.text()
    station.terms.button.click()
    detect(station, qtbot)
    assert not station.terms.isVisible()
    _, other = open_study()
    detect(other, qtbot)
    assert not other.terms.isVisible()


def test_an_unforeseen_error_has_its_details_behind_a_button(
    open_study: Callable, fake: Any, qtbot: Any
) -> None:
    from qtpy.QtWidgets import QMessageBox

    fake.error = RuntimeError("shape mismatch")
    _, station = open_study()
    with qtbot.waitSignal(station.detect.settled, timeout=5000):
        station.detect.start()
    message = station.detect.message
    assert message.button.isVisible()
    message.button.click()
    (box,) = station.findChildren(QMessageBox)
    assert "Traceback" in box.detailedText()
    assert "RuntimeError: shape mismatch" in box.detailedText()
    box.close()


def test_another_study_has_its_own_findings(
    open_study: Callable, fake: Any, phantom: Phantom, qtbot: Any
) -> None:
    from napari_rsna_inpaint._qt.study import show_study

    viewer, station = open_study()
    detect(station, qtbot)
    station.next_finding()
    station.accept()
    other = replace(phantom.volume, hu=deepcopy(phantom.volume.hu) + 1, source_id="other")
    show_study(viewer, other)
    qtbot.waitUntil(lambda: station.opened, timeout=10_000)
    assert station.findings.table.rowCount() == 0
    assert not viewer.layers["CT"].visible
    station.detect.source.setCurrentIndex(1)
    qtbot.waitUntil(lambda: station.reading.detection is not None, timeout=10_000)
    assert "1 accepted" in station.findings.counters.text()
    assert viewer.layers["CT"].visible
    fake.seconds = 0.1
    with qtbot.waitSignal(station.detect.settled, timeout=10_000):
        station.detect.start()
        third = show_study(viewer, replace(other, hu=deepcopy(other.hu) + 1))
    assert not third.visible, "the findings of one study are not shown on the image of another"
    station.detect.source.setCurrentIndex(station.detect.source.findData(third))
    assert third.visible
    assert not viewer.layers["Findings"].visible


@pytest.mark.usefixtures("two_findings")
def test_a_reason_counts_only_for_the_finding_it_was_asked_for(
    open_study: Callable, qtbot: Any
) -> None:
    from qtpy.QtCore import Qt

    viewer, station = open_study()
    detect(station, qtbot)
    station.findings.further.setChecked(True)
    reasons = station.findings.reasons
    for elsewhere in (
        lambda: station.findings.table.setCurrentCell(1, 0),
        lambda: station.tabs.setCurrentWidget(station.keys),
        lambda: station.detect.start_button.click(),
    ):
        station.show_finding("F1")
        qtbot.keyClick(canvas(viewer), Qt.Key.Key_R)
        assert reasons.isVisible()
        elsewhere()
        assert not reasons.isVisible()
        qtbot.keyClick(canvas(viewer), Qt.Key.Key_2)
    qtbot.waitUntil(lambda: not station.busy and not station.detect.running, timeout=10_000)
    assert not stored()


def test_nothing_is_decided_on_the_run_before_while_a_new_one_is_kept(
    open_study: Callable, fake: Any, detection: Detection, qtbot: Any
) -> None:
    _, station = open_study()
    detect(station, qtbot)
    station.next_finding()
    station.accept()
    fake.detection = replace(detection, run={**detection.run, "protocol": "full"})
    with qtbot.waitSignal(station.detect.settled, timeout=10_000):
        station.detect.start()
        station.undo()
        assert "nothing to take back" in station.detect.message.text()
    station.next_finding()
    station.unsure()
    assert "being saved" in station.detect.message.text()
    qtbot.waitUntil(lambda: not station.busy, timeout=20_000)
    station.unsure()
    with open_store() as store:
        assert [event.detail["verdict"] for event in store.events() if event.kind == "verdict"] == [
            "accepted",
            "unsure",
        ]
        assert len({event.run for event in store.events()}) == 2


def test_the_window_outlives_its_layers(open_study: Callable, fake: Any, qtbot: Any) -> None:
    from qtpy.QtCore import Qt

    from napari_rsna_inpaint._qt.study import lay_out

    viewer, station = open_study()
    lay_out(viewer)
    detect(station, qtbot)
    viewer.layers.remove("Findings")
    before = viewer.dims.point
    viewer.dims.set_point(0, viewer.dims.range[0].start)
    qtbot.keyClick(canvas(viewer), Qt.Key.Key_N)
    assert viewer.dims.point[0] == pytest.approx(before[0], abs=20)
    assert viewer.dims.point[0] != viewer.dims.range[0].start
    # with text on the canvas, drawing crashed once the last layer was gone
    qtbot.keyClick(canvas(viewer), Qt.Key.Key_T)
    qtbot.wait(100)
    viewer.layers.clear()
    qtbot.wait(100)
    qtbot.keyClick(canvas(viewer), Qt.Key.Key_A)
    assert not stored()
