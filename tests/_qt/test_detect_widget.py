"""The dock against an engine that behaves as agreed, but is instant or breaks on demand."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
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
def widget(viewer: Any, fake: Any) -> Any:
    from napari_rsna_inpaint._qt.study import dock

    return dock(viewer)


def test_a_run_ends_with_all_layers_and_a_list(viewer: Any, widget: Any, qtbot: Any) -> None:
    with qtbot.waitSignal(widget.settled, timeout=10_000) as ended:
        widget.start()
        assert not widget.start_button.isEnabled()
    assert ended.args == [True]
    names = {layer.name for layer in viewer.layers}
    assert names == {"CT", "Brain mask", "Inpainted", "Residual", "Heatmap", "Findings"}
    assert widget.table.rowCount() == 1
    assert "1 finding" in widget.message.text()
    widget.table.setCurrentCell(0, 0)
    z = round(viewer.layers["CT"].world_to_data(viewer.dims.point)[0])
    assert widget.detection.labels[z].any()
    with qtbot.waitSignal(widget.settled, timeout=10_000):
        widget.start()
    assert len(viewer.layers) == 6, "a second run must replace the first, not pile up"


def test_slices_appear_while_it_runs_and_cancel_keeps_them(
    viewer: Any, widget: Any, fake: Any, qtbot: Any
) -> None:
    fake.seconds = 0.3
    widget.start()
    qtbot.waitUntil(lambda: viewer.layers["Heatmap"].data[1].any(), timeout=5000)
    assert not viewer.layers["Heatmap"].data[6].any()
    assert widget.bar.maximum() == 8
    asked = time.monotonic()
    with qtbot.waitSignal(widget.settled, timeout=2000) as ended:
        widget.cancel_button.click()
    assert time.monotonic() - asked < 2
    assert ended.args == [False]
    assert "stopped" in widget.message.text()
    fake.seconds = 0
    with qtbot.waitSignal(widget.settled, timeout=10_000) as ended:
        widget.start_button.click()
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
    viewer: Any, widget: Any, fake: Any, qtbot: Any, error: Exception, words: str
) -> None:
    fake.error = error
    with qtbot.waitSignal(widget.settled, timeout=5000) as ended:
        widget.start()
    assert ended.args == [False]
    assert words in widget.message.text()
    assert "\n" not in widget.message.text()
    assert [layer.name for layer in viewer.layers] == ["CT"]
    fake.error = None
    with qtbot.waitSignal(widget.settled, timeout=5000) as ended:
        widget.start_button.click()
    assert ended.args == [True]


def test_the_result_of_a_removed_ct_is_dropped(
    viewer: Any, widget: Any, fake: Any, qtbot: Any
) -> None:
    fake.seconds = 0.2
    widget.start()
    qtbot.waitUntil(lambda: widget.bar.value() > 0, timeout=5000)
    with qtbot.waitSignal(widget.settled, timeout=5000):
        viewer.layers.remove("CT")
    assert len(viewer.layers) == 0
    assert "dropped" in widget.message.text()
    assert not widget.start_button.isEnabled()


def test_layers_removed_meanwhile_stay_removed(
    viewer: Any, widget: Any, fake: Any, qtbot: Any
) -> None:
    fake.seconds = 0.1
    widget.start()
    viewer.layers.remove("Residual")
    with qtbot.waitSignal(widget.settled, timeout=10_000) as ended:
        pass
    assert ended.args == [True]
    assert "Residual" not in viewer.layers
    assert "Findings" in viewer.layers


def test_closing_the_window_stops_the_run(viewer: Any, widget: Any, fake: Any, qtbot: Any) -> None:
    fake.seconds = 0.5
    widget.start()
    qtbot.waitUntil(lambda: widget.bar.value() > 0, timeout=5000)
    viewer.close()
    qtbot.waitUntil(lambda: fake.was_cancelled, timeout=2000)


def test_without_a_ct_the_dock_says_what_to_do(make_napari_viewer: Callable) -> None:
    from napari_rsna_inpaint._qt.study import dock

    widget = dock(make_napari_viewer())
    assert "Open a CT study" in widget.message.text()
    assert not widget.start_button.isEnabled()


def test_the_heatmap_key_works_whichever_layer_is_active(
    viewer: Any, widget: Any, qtbot: Any
) -> None:
    from qtpy.QtCore import Qt

    with qtbot.waitSignal(widget.settled, timeout=10_000):
        widget.start()
    for name in ("CT", "Findings"):
        viewer.layers.selection.active = viewer.layers[name]
        before = viewer.layers["Heatmap"].visible
        qtbot.keyClick(viewer.window._qt_viewer.canvas.native, Qt.Key.Key_H)
        assert viewer.layers["Heatmap"].visible is not before


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


@pytest.mark.parametrize(
    ("order", "letters"), [((0, 1, 2), "APRL"), ((1, 0, 2), "SIRL"), ((2, 0, 1), "SIAP")]
)
def test_on_screen_the_marker_is_where_the_patient_has_it(
    make_napari_viewer: Callable,
    phantom: Phantom,
    order: tuple[int, int, int],
    letters: str,
) -> None:
    from napari_rsna_inpaint._qt.study import dock, show_study

    hu = np.full_like(phantom.volume.hu, -1000)
    # Superior, anterior, right third of the patient.
    hu[6:, :30, :30] = 100
    viewer = make_napari_viewer(show=True)
    dock(viewer)
    layer = show_study(viewer, replace(phantom.volume, hu=hu))
    viewer.dims.order = order
    viewer.dims.set_point(range(3), layer.data_to_world((7, 10, 10)))
    viewer.reset_view()
    for overlay in viewer.canvas.overlays.values():
        overlay.visible = False
    picture = viewer.screenshot(flash=False, canvas_only=True)[..., 0]
    height, width = picture.shape
    rows, columns = np.nonzero(picture > 200)
    assert len(rows) > 50
    assert rows.mean() < height / 2
    assert columns.mean() < width / 2
    texts = viewer.canvas.overlays
    places = ("top_center", "bottom_center", "middle_left", "middle_right")
    assert "".join(texts[f"rsna_inpaint_{place}"].text for place in places) == letters
