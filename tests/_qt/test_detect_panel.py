"""Detecting, against an engine that behaves as agreed, but is instant or breaks on demand."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from napari_rsna_inpaint.errors import InputRefused
from napari_rsna_inpaint.evaluate.phantom import Phantom

pytestmark = pytest.mark.gui


@pytest.fixture
def viewer(make_napari_viewer: Callable, phantom: Phantom) -> Any:
    from napari_rsna_inpaint._qt.study import show_study

    viewer = make_napari_viewer(show=True)
    show_study(viewer, phantom.volume)
    return viewer


@pytest.fixture
def station(viewer: Any, fake: Any) -> Any:
    from napari_rsna_inpaint._qt.study import dock

    return dock(viewer)


@pytest.fixture
def panel(station: Any) -> Any:
    return station.detect


def test_a_run_ends_with_all_layers_and_a_list(viewer: Any, station: Any, qtbot: Any) -> None:
    with qtbot.waitSignal(station.detect.settled, timeout=10_000) as ended:
        station.detect.start()
        assert not station.detect.start_button.isEnabled()
    assert ended.args == [True]
    names = {layer.name for layer in viewer.layers}
    assert names == {"CT", "Brain mask", "Inpainted", "Residual", "Heatmap", "Findings"}
    assert station.findings.table.rowCount() == 1
    assert "1 finding" in station.detect.message.text()
    station.findings.table.setCurrentCell(0, 0)
    z = round(viewer.layers["CT"].world_to_data(viewer.dims.point)[0])
    assert station.reading.detection.labels[z].any()
    with qtbot.waitSignal(station.detect.settled, timeout=10_000):
        station.detect.start()
    assert len(viewer.layers) == 6, "a second run must replace the first, not pile up"


def test_slices_appear_while_it_runs_and_cancel_keeps_them(
    viewer: Any, panel: Any, fake: Any, qtbot: Any
) -> None:
    fake.seconds = 0.3
    panel.start()
    qtbot.waitUntil(lambda: viewer.layers["Heatmap"].data[1].any(), timeout=5000)
    assert not viewer.layers["Heatmap"].data[6].any()
    assert panel.bar.maximum() == 8
    asked = time.monotonic()
    with qtbot.waitSignal(panel.settled, timeout=2000) as ended:
        panel.cancel_button.click()
    assert time.monotonic() - asked < 2
    assert ended.args == [False]
    assert "stopped" in panel.message.text()
    fake.seconds = 0
    with qtbot.waitSignal(panel.settled, timeout=10_000) as ended:
        panel.start_button.click()
    assert ended.args == [True]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (InputRefused("The scan has no brain in it."), "The scan has no brain in it."),
        (RuntimeError("shape mismatch\nat layer 3"), "shape mismatch"),
        (MemoryError(), "memory is full"),
    ],
)
def test_an_error_becomes_a_sentence_and_the_dock_works_on(
    viewer: Any, panel: Any, fake: Any, qtbot: Any, error: Exception, words: str
) -> None:
    fake.error = error
    with qtbot.waitSignal(panel.settled, timeout=5000) as ended:
        panel.start()
    assert ended.args == [False]
    assert words in panel.message.text()
    assert "\n" not in panel.message.text()
    assert [layer.name for layer in viewer.layers] == ["CT"]
    fake.error = None
    with qtbot.waitSignal(panel.settled, timeout=5000) as ended:
        panel.start_button.click()
    assert ended.args == [True]


def test_a_result_says_who_found_it_and_what_was_remarked(
    panel: Any, fake: Any, phantom: Phantom, qtbot: Any
) -> None:
    remark = "Parameters differ from those of 'fast'."
    known = [{"code": note.code, "message": note.message} for note in phantom.volume.notes]
    fake.detection.run |= {
        "detector": "cfg",
        "protocol": "fast",
        "notes": [*known, {"code": "other-calibration", "message": remark}],
    }
    with qtbot.waitSignal(panel.settled, timeout=10_000):
        panel.start()
    assert panel.message.text() == f"1 finding by cfg, fast.\n{remark}"


def test_what_cannot_be_used_leaves_the_result_as_it_is(
    viewer: Any, station: Any, qtbot: Any
) -> None:
    panel = station.detect
    with qtbot.waitSignal(panel.settled, timeout=10_000):
        panel.start()
    panel.choice.load()
    qtbot.waitUntil(lambda: not panel.choice.loading, timeout=60_000)
    panel.choice.form.set_values({"sizes_mm": "wide"})
    panel.start()
    assert not panel.running
    assert "sizes_mm" in panel.message.text()
    assert "Findings" in viewer.layers
    panel.choice.form.reset()
    assert "sizes_mm" not in panel.message.text()


def test_the_result_of_a_removed_ct_is_dropped(
    viewer: Any, panel: Any, fake: Any, qtbot: Any
) -> None:
    fake.seconds = 0.2
    panel.start()
    qtbot.waitUntil(lambda: panel.bar.value() > 0, timeout=5000)
    with qtbot.waitSignal(panel.settled, timeout=5000):
        viewer.layers.remove("CT")
    assert len(viewer.layers) == 0
    assert "dropped" in panel.message.text()
    assert not panel.start_button.isEnabled()


def test_layers_removed_meanwhile_stay_removed(
    viewer: Any, panel: Any, fake: Any, qtbot: Any
) -> None:
    fake.seconds = 0.1
    panel.start()
    viewer.layers.remove("Residual")
    with qtbot.waitSignal(panel.settled, timeout=10_000) as ended:
        pass
    assert ended.args == [True]
    assert "Residual" not in viewer.layers
    assert "Findings" in viewer.layers


def test_closing_the_window_stops_the_run(viewer: Any, panel: Any, fake: Any, qtbot: Any) -> None:
    fake.seconds = 0.5
    panel.start()
    qtbot.waitUntil(lambda: panel.bar.value() > 0, timeout=5000)
    viewer.close()
    qtbot.waitUntil(lambda: fake.was_cancelled, timeout=2000)


def test_without_a_ct_the_dock_says_what_to_do(make_napari_viewer: Callable) -> None:
    from napari_rsna_inpaint._qt.study import dock

    panel = dock(make_napari_viewer()).detect
    assert "Open a CT study" in panel.message.text()
    assert not panel.start_button.isEnabled()


def test_the_menu_command_opens_a_study_and_the_dock(
    make_napari_viewer: Callable,
    phantom: Phantom,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    qtbot: Any,
) -> None:
    from napari._app_model import get_app_model
    from qtpy.QtWidgets import QFileDialog

    from napari_rsna_inpaint.io import write_nifti

    viewer = make_napari_viewer(show=True)
    path = str(tmp_path / "head.nii.gz")
    write_nifti(path, phantom.volume.hu, phantom.volume)
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_, **__: (path, ""))
    get_app_model().commands.execute_command("napari-rsna-inpaint.open_file").result()
    assert [layer.name for layer in viewer.layers] == ["CT"]
    assert "Detect anomalies (napari-rsna-inpaint)" in viewer.window.dock_widgets
    assert tuple(viewer.layers["CT"].contrast_limits_range) == (-1024, 3071)


def test_the_menu_command_says_why_it_cannot_open(
    make_napari_viewer: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari.utils.notifications import notification_manager
    from qtpy.QtWidgets import QFileDialog

    from napari_rsna_inpaint._qt.study import open_folder

    viewer = make_napari_viewer(show=True)
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_, **__: str(tmp_path))
    open_folder(viewer)
    assert not viewer.layers
    assert str(notification_manager.records[-1].severity) == "error"
