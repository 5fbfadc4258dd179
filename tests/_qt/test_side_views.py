"""The linked views in a shown window, with real mouse events."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from napari.layers import Layer

from napari_rsna_inpaint._qt import layers
from napari_rsna_inpaint.detection.result import Detection
from napari_rsna_inpaint.evaluate.phantom import Phantom

pytestmark = pytest.mark.gui


@pytest.fixture
def viewer(make_napari_viewer: Callable) -> Any:
    return make_napari_viewer(show=True, strict_qt=True)


@pytest.fixture
def ct(viewer: Any, phantom: Phantom) -> Any:
    layer = Layer.create(*layers.ct_layer(phantom.volume))
    viewer.layers.append(layer)
    viewer.dims.set_point(range(3), layer.data_to_world((4, 50, 40)))
    return layer


@pytest.fixture
def side(viewer: Any, ct: Any, qtbot: Any) -> Any:
    from napari_rsna_inpaint._qt.side_views import SideViews

    side = SideViews(viewer)
    viewer.window.add_dock_widget(side)
    qtbot.waitUntil(lambda: side.isVisible() and side.coronal.marks.width() > 100)
    return side


def names(view: Any) -> list[str]:
    return [layer.name for layer in view.model.layers]


def test_the_views_follow_the_layers(
    viewer: Any, ct: Any, side: Any, phantom: Phantom, detection: Detection, qtbot: Any
) -> None:
    heat = Layer.create(*layers.running_layers(phantom.volume)[2])
    found = Layer.create(*layers.findings_layer(phantom.volume, detection.labels))
    found.contour = 1
    for layer in (heat, found):
        viewer.layers.append(layer)
    foreign = viewer.add_labels(np.ones((8, 96, 96), np.uint8), name="foreign")
    viewer.add_points([[0, 0, 0]])
    shown = ["CT", "Heatmap", "Findings", "foreign"]
    qtbot.waitUntil(lambda: names(side.coronal) == names(side.sagittal) == shown)
    for view in (side.coronal, side.sagittal):
        for source, twin in zip(viewer.layers, view.model.layers, strict=False):
            assert np.shares_memory(np.asarray(twin.data), np.asarray(source.data))
        assert view.model.layers["Findings"].contour == 1

    viewer.layers.move(3, 0)
    viewer.layers.remove(found)
    qtbot.waitUntil(lambda: names(side.sagittal) == ["foreign", "CT", "Heatmap"])
    twin = side.sagittal.model.layers["CT"]
    ct.contrast_limits = (-100, 300)
    ct.interpolation2d = "nearest"
    ct.visible = False
    foreign.contour = 2
    foreign.opacity = 0.25
    assert tuple(twin.contrast_limits) == (-100, 300)
    assert twin.interpolation2d == "nearest"
    assert not twin.visible
    other = side.coronal.model.layers["foreign"]
    assert (other.contour, other.opacity) == (2, 0.25)

    # Results come slice by slice, faster than they are drawn.
    drawn = []
    warm = side.coronal.model.layers["Heatmap"]
    warm.events.set_data.connect(drawn.append)
    values = np.zeros((8, 96, 96), np.float32)
    heat.data = values
    for z in range(8):
        values[z] = 1
        heat.refresh()
        side.refresh()
        qtbot.wait(20)
    qtbot.waitUntil(lambda: warm.data is values and warm.get_value((4, 50, 40)) == 1)
    assert len(drawn) <= 3, "drawn once a slice"

    viewer.layers.clear()
    qtbot.waitUntil(lambda: names(side.coronal) == [])
    assert side.coronal.marks.centre is None
    viewer.layers.append(Layer.create(*layers.ct_layer(phantom.volume)))
    qtbot.waitUntil(lambda: names(side.coronal) == ["CT"])
    assert side.coronal.marks.centre is not None


def test_scrolling_moves_lines_only_and_the_mouse_moves_all_views(
    viewer: Any, ct: Any, side: Any, qtbot: Any
) -> None:
    from qtpy.QtCore import QPoint, QPointF, Qt
    from qtpy.QtGui import QWheelEvent
    from qtpy.QtWidgets import QApplication

    def index() -> list[int]:
        return [round(i) for i in ct.world_to_data(viewer.dims.point)]

    cut = []
    for view in (side.coronal, side.sagittal):
        view.model.layers["CT"].events.set_data.connect(cut.append)
    before = side.coronal.marks.centre
    viewer.dims.set_point(0, ct.data_to_world((6, 50, 40))[0])
    assert side.coronal.marks.centre.y() < before.y() - 5, "the head is up"
    assert side.coronal.marks.centre.x() == before.x()
    assert not cut

    native = side.coronal.canvas.canvas.native
    aimed = side.coronal.marks.centre.toPoint() + QPoint(15, 20)
    qtbot.mouseClick(native, Qt.MouseButton.LeftButton, pos=aimed)
    assert (side.coronal.marks.centre.toPoint() - aimed).manhattanLength() <= 1
    z, y, x = index()
    assert z < 6
    assert (y, x > 40) == (50, True)
    assert side.sagittal.marks.number == f"{x + 1} / 96"

    def wheel(steps: int, modifier: Any = Qt.KeyboardModifier.NoModifier) -> None:
        place = QPointF(aimed)
        event = QWheelEvent(
            place,
            QPointF(native.mapToGlobal(aimed)),
            QPoint(),
            QPoint(0, 120 * steps),
            Qt.MouseButton.NoButton,
            modifier,
            Qt.ScrollPhase.NoScrollPhase,
            False,
        )
        QApplication.sendEvent(native, event)

    wheel(-1)
    assert index() == [z, y + 1, x], "towards the back"
    assert side.coronal.marks.number == f"{y + 2} / 96"
    zoom = side.coronal.model.scene.camera.zoom
    assert side.sagittal.model.scene.camera.zoom == zoom, "the head is as large in both"
    wheel(1, Qt.KeyboardModifier.ControlModifier)
    assert side.coronal.model.scene.camera.zoom > zoom
    assert (side.coronal.marks.centre.toPoint() - aimed).manhattanLength() <= 2
    qtbot.mouseDClick(native, Qt.MouseButton.LeftButton, pos=aimed)
    assert side.coronal.model.scene.camera.zoom == pytest.approx(zoom)

    low, high = ct.contrast_limits
    qtbot.mousePress(native, Qt.MouseButton.RightButton, pos=aimed)
    qtbot.mouseMove(native, aimed + QPoint(0, 30))
    qtbot.waitUntil(lambda: ct.contrast_limits != [low, high])
    qtbot.mouseRelease(native, Qt.MouseButton.RightButton, pos=aimed + QPoint(0, 30))
    assert np.subtract(ct.contrast_limits, (low, high)).tolist() == pytest.approx([30, 30])
    assert not native.hasFocus(), "keys must stay with the main view"


def test_hidden_it_does_nothing_and_shown_again_it_is_up_to_date(
    viewer: Any, ct: Any, side: Any, qtbot: Any
) -> None:
    from qtpy.QtCore import Qt

    splitter = side.coronal.canvas.parent()
    for size, upright in (((700, 260), False), ((250, 600), True)):
        side.resize(*size)
        assert (splitter.orientation() == Qt.Orientation.Vertical) is upright
    with qtbot.waitSignal(side.coronal.canvas.destroyed):
        side.hide()
    ct.visible = False
    viewer.dims.set_point(0, ct.data_to_world((2, 0, 0))[0])
    side.refresh()
    side.show()
    assert names(side.coronal) == ["CT"]
    assert not side.coronal.model.layers["CT"].visible
    ct.visible = True
    assert side.sagittal.model.layers["CT"].visible
    with qtbot.waitSignal(side.coronal.canvas.destroyed):
        side.close()
    ct.contrast_limits = (0, 40)
    viewer.layers.clear()
