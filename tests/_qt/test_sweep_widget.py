"""The widget "Threshold sweep": what it shows while the threshold moves, and what it keeps."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_rsna_inpaint.detection.result import Detection, Square
from napari_rsna_inpaint.evaluate.phantom import Phantom
from napari_rsna_inpaint.sweep.settings import read_settings

pytestmark = pytest.mark.gui


@pytest.fixture
def result(detection: Detection) -> Detection:
    """Heat 0.9 and a residual of 30 HU in the lesion, and one square on it."""
    lesion = detection.labels > 0
    z, y, x = (int(v) for v in np.argwhere(lesion).mean(0))
    square = Square(z, z, 16.0, y - 3.5, x - 3.5, 7.0, 7.0, 1.0, 20.0, 21.0, 3.0, 500.0, 0.4)
    maps = replace(
        detection.maps,
        heatmap=lesion * np.float32(0.9),
        residual=lesion * np.float32(30),
        labels=detection.labels,
    )
    run = detection.run | {"scan": {"finding_heat": 0.79459}, "model_sha256": "abc"}
    return replace(detection, maps=maps, squares=[square], run=run)


@pytest.fixture
def reading(make_napari_viewer: Callable, phantom: Phantom, result: Detection) -> Any:
    from napari_rsna_inpaint._qt.layers import ct_layer
    from napari_rsna_inpaint._qt.reading import Reading

    viewer = make_napari_viewer(show=True)
    data, about, _ = ct_layer(phantom.volume)
    layer = viewer.add_image(data, **about)
    viewer.dims.set_point(range(3), layer.data_to_world((result.squares[0].slice, 48, 48)))
    reading = Reading(viewer)
    reading.read(layer)
    reading.show(result)
    return reading


@pytest.fixture
def make_widget(reading: Any, qtbot: Any) -> Callable[[], Any]:
    def make() -> Any:
        from napari_rsna_inpaint._qt.sweep_widget import SweepWidget

        widget = SweepWidget(reading.viewer, reading)
        reading.viewer.window.add_dock_widget(widget, name="Threshold sweep")
        qtbot.waitUntil(widget.isVisible)
        rest(widget, qtbot)
        return widget

    return make


def rest(widget: Any, qtbot: Any) -> None:
    qtbot.waitUntil(lambda: widget.resting, timeout=10_000)


def choose(widget: Any, metric: str, qtbot: Any) -> None:
    widget.metric_box.setCurrentIndex(widget.metric_box.findData(metric))
    rest(widget, qtbot)


def test_the_slice_is_cut_at_once_and_the_whole_scan_when_the_threshold_rests(
    reading: Any, make_widget: Callable, qtbot: Any, result: Detection
) -> None:
    widget = make_widget()
    layer = reading.viewer.layers["Sweep"]
    lesion = result.labels > 0
    assert widget.cut == 0.79459
    assert "<b>1</b> candidate in" in widget.numbers.text()
    assert (layer.data == 1).sum() == lesion.sum()
    shown = np.argwhere(layer.data == 1)[0]
    np.testing.assert_allclose(
        layer.data_to_world(shown), reading.source.data_to_world(np.argwhere(lesion)[0])
    )
    z = result.squares[0].slice
    choose(widget, "signed_residual", qtbot)
    widget.slider.setSliderDown(True)
    widget.slider.setValue(widget.slider.maximum())
    assert widget.cut == 40
    assert not layer.data[z].any()
    assert layer.data.any()
    widget.slider.setSliderDown(False)
    rest(widget, qtbot)
    assert not layer.data.any()
    assert "<b>0</b> candidates" in widget.numbers.text()
    # the line in the plot moves it as well
    widget.plot._moved(20.2, True)
    assert widget.cut == 20
    rest(widget, qtbot)
    assert (layer.data == 1).sum() == lesion.sum()


def test_what_was_chosen_is_remembered_and_saved(
    reading: Any, make_widget: Callable, qtbot: Any, tmp_path: Path
) -> None:
    kept: dict[str, dict] = {
        "abc": {"metric": "mse", "size_mm": 16.0, "min_area_mm2": 30.0, "threshold": 200.0}
    }
    widget = make_widget()
    widget.remember(kept.get, kept.__setitem__)
    rest(widget, qtbot)
    assert widget.settings.model_dump() == kept["abc"]
    assert "<b>1</b> flagged square" in widget.numbers.text()
    choose(widget, "heatmap", qtbot)
    own, at_most_one = widget.point_buttons[:2]
    at_most_one.click()
    rest(widget, qtbot)
    assert kept["abc"]["threshold"] == pytest.approx(0.3)
    own.click()
    rest(widget, qtbot)
    assert kept["abc"]["threshold"] == 0.79459
    widget.save(tmp_path / "sweep.json")
    assert read_settings(tmp_path / "sweep.json") == widget.settings


def test_squares_and_verdicts_have_their_plots(
    reading: Any, make_widget: Callable, qtbot: Any, result: Detection
) -> None:
    widget = make_widget()
    square = result.squares[0]
    widget.tabs.setCurrentIndex(1)
    widget.look_at(reading.source.data_to_world((square.slice, square.y + 3, square.x + 3)))
    layer = reading.viewer.layers["Sweep"]
    assert (layer.data == 2).sum() == 4 * 7 - 4
    (axes,) = widget.plot.figure.axes
    assert "mean +20.0" in axes.get_title()
    widget.look_at(reading.source.data_to_world((square.slice, 2, 2)))
    assert not (layer.data == 2).any()
    widget.tabs.setCurrentIndex(2)
    assert "Accept and reject" in widget.plot.figure.texts[0].get_text()
    result.findings[0].verdict = "accepted"
    result.further.append(replace(result.findings[0], id="F2", verdict="rejected"))
    widget.tabs.setCurrentIndex(0)
    widget.tabs.setCurrentIndex(2)
    rest(widget, qtbot)
    assert widget.plot.figure.axes[0].get_ylabel() == "accepted findings kept"


def test_removed_layers_other_studies_and_a_missing_library_do_no_harm(
    reading: Any, make_widget: Callable, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.axes", None)
    monkeypatch.delitem(sys.modules, "napari_rsna_inpaint._qt.sweep_plots", raising=False)
    widget = make_widget()
    assert widget.plot is None
    layers, source, result = reading.viewer.layers, reading.source, reading.detection
    layers.remove("Sweep")
    widget.slider.setValue(0)
    assert "Sweep" in layers
    reading.show(None)
    assert "Sweep" not in layers
    assert "no result to sweep" in widget.message.text()
    reading.show(result)
    rest(widget, qtbot)
    widget.slider.setValue(5)  # and at once the study goes
    layers.remove(source)
    reading.read(None)
    qtbot.wait(300)
    assert "Sweep" not in layers
    reading.show(replace(result, squares=[]))
    choose(widget, "mse", qtbot)
    widget.setVisible(False)
    assert widget._click not in reading.viewer.mouse_drag_callbacks
