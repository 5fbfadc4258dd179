"""The tab "Region": drawing, the job, the preview, and what is accepted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_rsna_inpaint.detection.edits import IMAGES, Edit
from napari_rsna_inpaint.detection.result import Detection
from napari_rsna_inpaint.errors import InputRefused
from napari_rsna_inpaint.evaluate.phantom import Phantom

pytestmark = pytest.mark.gui

BOX = np.s_[3:5, 40:50, 30:42]


@pytest.fixture
def options(tiny_model: Path) -> dict[str, Any]:
    return {
        "device": "cpu",
        "model": tiny_model,
        "backend": "torch",
        "protocol": "fast",
        "samples": 3,
    }


@pytest.fixture
def viewer(make_napari_viewer: Callable, phantom: Phantom) -> Any:
    from napari_rsna_inpaint._qt.layers import ct_layer

    viewer = make_napari_viewer(show=True)
    data, about, _ = ct_layer(phantom.volume)
    viewer.add_image(data, **about)
    return viewer


@pytest.fixture
def panel(viewer: Any, options: dict[str, Any], detection: Detection) -> Iterator[Any]:
    from napari_rsna_inpaint._qt.live import LiveResult
    from napari_rsna_inpaint._qt.reading import Reading
    from napari_rsna_inpaint._qt.region_panel import RegionPanel

    # what is edited in place must not be one array
    own = {name: np.array(getattr(detection.maps, name)) for name in IMAGES}
    detection.maps = replace(detection.maps, **own)
    reading = Reading(viewer)
    reading.read(viewer.layers["CT"])
    live = LiveResult(viewer, viewer.layers["CT"])
    live.begin()
    live.finish(detection)
    reading.show(detection)
    panel = RegionPanel(reading, lambda: options)
    viewer.window.add_dock_widget(panel, name="Region")
    yield panel
    panel.cancel()


def draw(panel: Any) -> None:
    panel.start_drawing("paint")
    z, y, x = np.mgrid[BOX]
    panel.drawing.layer.data_setitem((z.ravel(), y.ravel(), x.ravel()), 1)


def complete(panel: Any, qtbot: Any) -> None:
    draw(panel)
    panel.reinpaint()
    qtbot.waitUntil(lambda: panel.pending, timeout=20_000)


def images(detection: Detection) -> dict[str, np.ndarray]:
    return {name: getattr(detection, name).copy() for name in IMAGES}


def test_a_region_is_completed_looked_at_accepted_and_taken_back(
    viewer: Any, panel: Any, qtbot: Any, phantom: Phantom, detection: Detection
) -> None:
    assert panel.region_mask() is None
    panel.reinpaint()
    assert "Draw a region" in panel.line.text()
    complete(panel, qtbot)
    np.testing.assert_array_equal(np.argwhere(panel.region_mask()).min(0), (3, 40, 30))

    preview, ct = viewer.layers["Preview"], viewer.layers["CT"]
    assert preview.data.shape == (2, 10, 12)
    np.testing.assert_allclose(preview.data_to_world((0, 0, 0)), ct.data_to_world((3, 40, 30)))
    assert viewer.layers.index(preview) == viewer.layers.index("Region") - 1
    assert viewer.layers["Region"].mode == "pan_zoom"
    mean = preview.data.copy()
    pictures = []
    for number in (1, 2, 3):
        panel.slider.setValue(number)
        pictures.append(preview.data.copy())
    np.testing.assert_allclose(np.mean(pictures, axis=0), mean, atol=1e-3)
    for view, expected in (
        ("spread", np.std(pictures, axis=0)),
        ("minimum", np.abs(np.array(pictures) - phantom.volume.hu[BOX]).min(0)),
    ):
        panel.view.setCurrentIndex(panel.view.findData(view))
        np.testing.assert_allclose(preview.data, expected, atol=1e-3)
    panel.toggle_original()
    assert not preview.visible
    assert panel.numbers["mean_hu"].text() == f"{phantom.volume.hu[BOX].mean():.1f} HU"

    before = images(detection)
    with qtbot.waitSignal(panel.accepted) as kept:
        panel.accept()
    (edit,) = kept.args
    assert isinstance(edit, Edit)
    assert "Preview" not in viewer.layers
    assert panel.region_mask() is None
    np.testing.assert_allclose(viewer.layers["Inpainted"].data[BOX], mean, atol=1e-3)
    total = viewer.layers["Inpainted"].data + viewer.layers["Residual"].data
    np.testing.assert_allclose(total[BOX], phantom.volume.hu[BOX], atol=1e-3)
    panel.undo_edit(edit)
    for name, values in before.items():
        np.testing.assert_array_equal(getattr(detection, name), values)
    panel.redo_edit(edit)
    assert edit.applied(detection)
    panel.undo_edit(edit)
    with pytest.raises(InputRefused, match="changed since"):
        panel.undo_edit(edit)

    # the same seed gives the same picture, another one does not
    complete(panel, qtbot)
    np.testing.assert_array_equal(viewer.layers["Preview"].data, mean)
    while panel.seed == 0:
        panel.new_seed()
    qtbot.waitUntil(lambda: panel.pending, timeout=20_000)
    assert (viewer.layers["Preview"].data != mean).any()
    panel.discard()
    assert "Preview" not in viewer.layers
    assert panel.region_mask() is not None
    for name, values in before.items():
        np.testing.assert_array_equal(getattr(detection, name), values)


def test_drawing_and_what_is_shown_without_a_result(viewer: Any, panel: Any, qtbot: Any) -> None:
    panel._reading.show(None)
    for tool in ("polygon", "paint", "erase", "box"):
        panel.tools[tool].click()
        on = [name for name, button in panel.tools.items() if button.isChecked()]
        assert on == [tool]
    layer = viewer.layers["Region"]
    assert str(layer.mode) == "pan_zoom"
    viewer.dims.set_point(range(3), layer.data_to_world((4, 45, 35)))

    def drag(first: tuple, last: tuple) -> None:
        """What napari does while the left button is down."""
        event = Drag("mouse_press", layer.data_to_world(first))
        moves = panel.drawing._draw_box(layer, event)
        next(moves)
        for kind in ("mouse_move", "mouse_release"):
            event.type, event.position = kind, layer.data_to_world(last)
            next(moves, None)

    drag((4, 50, 42), (4, 40, 30))
    expected = np.zeros(layer.data.shape, bool)
    expected[4, 40:51, 30:43] = True
    np.testing.assert_array_equal(panel.region_mask(), expected)
    drag((4, 70, 70), (4, 70, 70))
    np.testing.assert_array_equal(panel.region_mask(), expected)
    layer.undo()
    assert panel.region_mask() is None
    layer.redo()
    np.testing.assert_array_equal(panel.region_mask(), expected)
    # in world coordinates a slice is seldom a whole number
    layer.paint_polygon([[5.9999999, y + 0.5, x + 0.5] for y, x in ((9, 9), (9, 12), (12, 9))], 1)
    expected[6, 9:13, 9:13] = np.tri(4)[::-1]
    np.testing.assert_array_equal(panel.region_mask(), expected)
    layer.undo()
    expected[6] = False
    # napari's own controls and ours say the same
    layer.mode = "erase"
    assert panel.tools["erase"].isChecked()
    panel.tools["erase"].click()
    assert str(layer.mode) == "pan_zoom"

    panel.reinpaint()
    qtbot.waitUntil(lambda: panel.pending, timeout=20_000)
    assert not panel.accept_button.isEnabled()
    assert "Detect" in panel.accept_button.toolTip()
    panel.accept()
    assert panel.pending
    panel.clear()
    assert panel.region_mask() is None
    assert "Preview" not in viewer.layers


class Drag:
    """What of a mouse event is used."""

    button = 1
    dims_displayed = (1, 2)

    def __init__(self, kind: str, position: Any) -> None:
        self.type = kind
        self.position = position


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Any:
    """An engine that draws one completion every 0.2 s and asks whether to go on."""
    from napari_rsna_inpaint._qt import region_job
    from napari_rsna_inpaint.errors import Cancelled

    class Engine:
        stopped = False
        error: Exception | None = None

        def __call__(
            self,
            study: Any,
            region: Any,
            mask: Any,
            *,
            samples: int,
            cancelled: Any,
            **options: Any,
        ) -> Any:
            slices = tuple(int(z) for z in np.flatnonzero(region.any((1, 2))))
            for k in range(1000):
                until = time.monotonic() + 0.2
                while time.monotonic() < until:
                    time.sleep(0.01)
                    if cancelled():
                        self.stopped = True
                        raise Cancelled
                if self.error is not None and k == 1:
                    raise self.error
                if "on_completion" not in options:
                    return None
                options["on_progress"](k + 1, 1000)
                image = study.volume.hu[list(slices)].astype(np.float32)
                options["on_completion"](k, slices, image)

    engine = Engine()
    monkeypatch.setattr(
        region_job.RegionStudy,
        "reinpaint",
        lambda study, region, mask, **options: engine(study, region, mask, **options),
    )
    return engine


def test_the_first_completion_is_shown_while_the_others_are_drawn(
    viewer: Any, panel: Any, slow: Any, qtbot: Any
) -> None:
    draw(panel)
    panel.reinpaint()
    qtbot.waitUntil(lambda: "Preview" in viewer.layers, timeout=5000)
    assert panel.running
    assert not panel.pending
    asked = time.monotonic()
    panel.cancel()
    qtbot.waitUntil(lambda: slow.stopped, timeout=2000)
    assert time.monotonic() - asked < 2
    assert not panel.running
    assert "Preview" not in viewer.layers
    assert panel.region_mask() is not None

    # an error is a sentence, and the panel works on
    slow.error = RuntimeError("shape mismatch")
    panel.reinpaint()
    qtbot.waitUntil(lambda: "shape mismatch" in panel.line.text(), timeout=5000)
    assert "Preview" not in viewer.layers
    assert panel.start_button.isEnabled()


def test_layers_may_be_removed_while_it_runs(
    viewer: Any, panel: Any, slow: Any, qtbot: Any
) -> None:
    for gone in ("Preview", "Region", "CT"):
        slow.stopped = False
        draw(panel)
        panel.reinpaint()
        qtbot.waitUntil(lambda: "Preview" in viewer.layers, timeout=5000)
        viewer.layers.remove(gone)
        qtbot.waitUntil(lambda: slow.stopped, timeout=2000)
        assert not panel.running
        assert "Preview" not in viewer.layers
        assert "dropped" in panel.line.text()


def test_a_completion_of_another_study_is_dropped(
    viewer: Any, panel: Any, slow: Any, qtbot: Any, phantom: Phantom
) -> None:
    from napari_rsna_inpaint._qt.layers import ct_layer

    draw(panel)
    panel.reinpaint()
    other = replace(phantom.volume, hu=phantom.volume.hu.copy())
    data, about, _ = ct_layer(other)
    panel._reading.read(viewer.add_image(data, **about))
    qtbot.waitUntil(lambda: slow.stopped, timeout=2000)
    qtbot.wait(300)
    assert "Preview" not in viewer.layers
    assert not panel.running
    assert panel.region_mask() is None
