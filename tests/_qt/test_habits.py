from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Layer
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent, QWheelEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_rsna_inpaint._qt import actions, layers, measure
from napari_rsna_inpaint._qt.actions import bind_keys
from napari_rsna_inpaint._qt.habits import install_habits, remove_habits
from napari_rsna_inpaint._qt.navigation import go_to_end, step_slices
from napari_rsna_inpaint._qt.readout import describe_point
from napari_rsna_inpaint._qt.shown import shown_ct
from napari_rsna_inpaint._qt.slab import Slab, cycle_slab, show_slab, shown_slab, slabs
from napari_rsna_inpaint.evaluate.phantom import Phantom


def open_phantom(viewer: Any, phantom: Phantom) -> Layer:
    """A study with the layers of a detection, at its middle."""
    volume = phantom.volume
    for data in (layers.ct_layer(volume), *layers.running_layers(volume)):
        viewer.add_layer(Layer.create(*data))
    ct = viewer.layers["CT"]
    viewer.layers.selection.active = ct
    viewer.dims.set_point(range(3), ct.data_to_world([n // 2 for n in volume.hu.shape]))
    return ct


def text(viewer: Any, name: str) -> str:
    return viewer.canvas.overlays[f"rsna_inpaint_{name}"].text


def shown_index(viewer: Any, axis: int = 0) -> int:
    return round(viewer.layers["CT"].world_to_data(viewer.dims.point)[axis])


class Canvas:
    """Real mouse and keyboard events on the canvas of a shown viewer."""

    def __init__(self, viewer: Any) -> None:
        self.viewer = viewer
        self.widget = viewer.window._qt_viewer.canvas.native
        self.middle = QPoint(self.widget.width() // 2, self.widget.height() // 2)

    def key(self, key: Qt.Key, modifier: Any = Qt.KeyboardModifier.NoModifier) -> None:
        QTest.keyClick(self.widget, key, modifier)

    def wheel(self, notches: int, modifier: Any = Qt.KeyboardModifier.NoModifier) -> None:
        event = QWheelEvent(
            QPointF(self.middle),
            QPointF(self.widget.mapToGlobal(self.middle)),
            QPoint(),
            QPoint(0, 120 * notches),
            Qt.MouseButton.NoButton,
            modifier,
            Qt.ScrollPhase.NoScrollPhase,
            False,
        )
        QApplication.sendEvent(self.widget, event)

    def drag(self, by: tuple[int, int], button: Any, start: tuple[int, int] = (0, 0)) -> None:
        begin = self.middle + QPoint(*start)
        QTest.mousePress(self.widget, button, Qt.KeyboardModifier.NoModifier, begin)
        for step in (0.3, 0.6, 1.0):
            place = begin + QPoint(round(by[0] * step), round(by[1] * step))
            self.move(place, button)
            QTest.qWait(20)  # napari looks at a moving mouse every 5 ms
        QTest.mouseRelease(self.widget, button, Qt.KeyboardModifier.NoModifier, place)
        QTest.qWait(20)

    def move(self, place: QPoint, button: Any = Qt.MouseButton.NoButton) -> None:
        event = QMouseEvent(
            QMouseEvent.Type.MouseMove,
            QPointF(place),
            QPointF(self.widget.mapToGlobal(place)),
            Qt.MouseButton.NoButton,
            button,
            Qt.KeyboardModifier.NoModifier,
        )
        QApplication.sendEvent(self.widget, event)


@pytest.mark.gui
def test_mouse_and_keys_on_a_real_canvas(make_napari_viewer: Callable, phantom: Phantom) -> None:
    """One window for all, because each costs a second."""
    viewer = make_napari_viewer(show=True)
    ct = open_phantom(viewer, phantom)
    inpainted = viewer.layers["Inpainted"]
    bind_keys(viewer)
    install_habits(viewer)
    install_habits(viewer)  # a second time changes nothing
    viewer.fit_to_view(layers=[ct])
    QTest.qWait(100)
    canvas = Canvas(viewer)
    camera = viewer.scene.camera

    # wheel
    start, zoom = shown_index(viewer), camera.zoom
    canvas.wheel(-1)
    assert abs(shown_index(viewer) - start) == 1
    assert viewer.dims.point[0] > ct.data_to_world((start, 0, 0))[0], "down is towards the feet"
    canvas.wheel(1)
    assert (shown_index(viewer), camera.zoom) == (start, zoom)
    canvas.wheel(2, Qt.KeyboardModifier.ControlModifier)
    assert shown_index(viewer) == start
    assert camera.zoom > zoom

    # window
    before, zoom = ct.contrast_limits, camera.zoom
    canvas.drag((40, 0), Qt.MouseButton.RightButton)
    assert np.allclose(ct.contrast_limits, (before[0] - 20, before[1] + 20))
    canvas.drag((0, 30), Qt.MouseButton.RightButton)
    assert np.allclose(ct.contrast_limits, (before[0] + 10, before[1] + 50))
    assert np.allclose(inpainted.contrast_limits, ct.contrast_limits)
    assert text(viewer, "window") == "W 120  L 70"
    assert camera.zoom == zoom
    assert camera.mouse_pan
    canvas.key(Qt.Key.Key_3, Qt.KeyboardModifier.AltModifier)
    assert text(viewer, "window") == "subdural\nW 200  L 75"
    assert tuple(inpainted.contrast_limits) == (-25, 175)
    inpainted.contrast_limits = (0, 50)  # as by napari's slider
    assert tuple(ct.contrast_limits) == (0, 50)

    # a click goes there, a drag only moves the image
    at = np.array(viewer.dims.point)
    canvas.drag((25, 10), Qt.MouseButton.LeftButton)
    assert np.allclose(viewer.dims.point, at)
    QTest.mouseClick(
        canvas.widget,
        Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
        canvas.middle + QPoint(30, 20),
    )
    centre = np.array(camera.center)[1:]
    step = (np.array(viewer.dims.point)[1:] - centre) * camera.zoom
    assert np.allclose(step, (20, 30), atol=1.5 * camera.zoom + 1)
    assert viewer.dims.point[0] == at[0]

    # keys
    canvas.key(Qt.Key.Key_Home)
    assert viewer.dims.point[0] == min(ct.data_to_world((z, 0, 0))[0] for z in (0, 7))
    canvas.key(Qt.Key.Key_PageDown)
    canvas.key(Qt.Key.Key_PageDown)
    canvas.key(Qt.Key.Key_PageUp)
    assert shown_index(viewer) in (1, 6)
    canvas.key(Qt.Key.Key_O)
    assert (ct.visible, inpainted.visible, viewer.layers["Heatmap"].visible) == (False, True, True)
    canvas.key(Qt.Key.Key_O)
    assert (ct.visible, inpainted.visible) == (True, False)
    canvas.key(Qt.Key.Key_H)
    assert not viewer.layers["Heatmap"].visible
    canvas.key(Qt.Key.Key_F)
    assert camera.zoom < zoom

    # a key that is held goes on to the end
    canvas.key(Qt.Key.Key_Home)
    QTest.keyPress(canvas.widget, Qt.Key.Key_PageDown)
    QTest.qWait(550)
    QTest.keyRelease(canvas.widget, Qt.Key.Key_PageDown)
    held = shown_index(viewer)
    assert held not in (0, 1, 6, 7)
    QTest.qWait(150)
    assert shown_index(viewer) == held

    # readout
    canvas.move(canvas.middle)
    QTest.qWait(80)
    assert "healthy " in text(viewer, "readout")
    assert f" HU  slice {held + 1}" in text(viewer, "readout")

    # measurements
    canvas.key(Qt.Key.Key_M)
    canvas.drag((80, 60), Qt.MouseButton.LeftButton, start=(-40, -30))
    QTest.qWait(50)
    (length,) = viewer.layers["Ruler"].features["label"]
    assert float(length.split()[0]) == pytest.approx(100 / camera.zoom, abs=0.11)
    assert viewer.layers.selection.active is ct
    canvas.key(Qt.Key.Key_E)
    canvas.drag((60, 40), Qt.MouseButton.LeftButton, start=(-20, -20))
    (label,) = viewer.layers["ROI"].features["label"]
    area = float(label.split()[-2])
    assert area == pytest.approx(np.pi * 30 * 20 / camera.zoom**2, abs=0.6)
    canvas.drag((0, 20), Qt.MouseButton.LeftButton, start=(40, 20))  # its corner
    (label,) = viewer.layers["ROI"].features["label"]
    assert float(label.split()[-2]) == pytest.approx(1.5 * area, abs=1.5)
    centre = camera.center
    canvas.drag((0, 15), Qt.MouseButton.LeftButton, start=(-80, -80))
    assert camera.center != centre, "elsewhere the image is moved"
    canvas.key(Qt.Key.Key_M, Qt.KeyboardModifier.ShiftModifier)
    assert not {"Ruler", "ROI"} & {layer.name for layer in viewer.layers}

    # back to the mouse as napari has it
    remove_habits(viewer)
    zoom, index = camera.zoom, shown_index(viewer)
    canvas.wheel(1)
    QTest.qWait(30)
    assert shown_index(viewer) == index
    assert camera.zoom != zoom
    assert text(viewer, "window") == ""


def test_slices_are_those_of_the_ct_in_every_plane(phantom: Phantom) -> None:
    viewer = ViewerModel()
    ct = open_phantom(viewer, phantom)
    viewer.add_image(np.zeros((90, 20, 20)), scale=(0.5, 0.5, 0.5))  # finer steps for the slider
    for axis, order in enumerate(((0, 1, 2), (1, 0, 2), (2, 0, 1))):
        viewer.dims.order = order
        forward = 1 if ct.scale[axis] > 0 else -1
        before = shown_index(viewer, axis)
        assert step_slices(viewer, 1)
        assert shown_index(viewer, axis) == before + forward
        go_to_end(viewer, last=True)
        assert shown_index(viewer, axis) == (ct.data.shape[axis] - 1 if forward > 0 else 0)
        assert not step_slices(viewer, 1)


def test_the_readout_tells_value_and_patient_position(phantom: Phantom) -> None:
    viewer = ViewerModel()
    ct = open_phantom(viewer, phantom)
    volume = phantom.volume
    index = (2, 40, 61)
    viewer.layers["Residual"].data = np.full(volume.hu.shape, -7.0, np.float32)
    words = describe_point(viewer, ct.data_to_world(index)).split()
    assert words[words.index("HU") - 1] == f"{volume.hu[index]:.0f}"
    assert words[words.index("residual") + 1] == "-7"
    x, y, z = volume.to_patient(index)
    for mm, plus, minus in ((x, "L", "R"), (y, "P", "A"), (z, "H", "F")):
        letter = minus if mm < 0 else plus
        assert float(words[words.index(letter) + 1]) == pytest.approx(abs(mm), abs=0.06)
    assert words[words.index("slice") + 1] == "3"
    assert describe_point(viewer, ct.data_to_world((2, -3, 5))) == ""


def test_a_slab_is_what_it_says(phantom: Phantom) -> None:
    viewer = ViewerModel()
    ct = open_phantom(viewer, phantom)
    hu = phantom.volume.hu
    assert slabs(5.0) == [Slab(), *(Slab(n, m) for m in ("mean", "max") for n in (2, 3))]
    seen = []
    for _ in range(5):
        cycle_slab(viewer)
        slab, z = shown_slab(viewer, ct), shown_index(viewer)
        seen.append(slab)
        first = z - (slab.count - 1) // 2
        expected = hu[first : first + slab.count]
        expected = expected.max(axis=0) if slab.mode == "max" else expected.mean(axis=0)
        assert np.allclose(ct._slice.image.raw, expected)
        here = (z, 30, 50)
        shown = describe_point(viewer, ct.data_to_world(here)).splitlines()[0]
        assert shown.startswith(f"{expected[30, 50]:.0f} HU")
    assert seen == [*slabs(5.0)[1:], Slab()]
    show_slab(viewer, Slab(3, "mean"))
    assert text(viewer, "slab") == "Mean 15 mm\n3 slices"
    for last in (False, True):
        go_to_end(viewer, last)
        assert np.isfinite(ct._slice.image.raw).all(), "a slab at the end has fewer slices"
    other = viewer.add_image(np.ones(hu.shape), scale=np.abs(ct.scale), translate=ct.translate)
    show_slab(viewer, Slab(3, "max"))
    assert str(other.projection_mode) == "none"


@pytest.mark.parametrize("degrees", [0.0, 20.0])
def test_measurements_are_those_of_the_patient(phantom: Phantom, degrees: float) -> None:
    from test_layers import flipped, tilted

    volume = flipped(tilted(phantom.volume, degrees), (0, 1))
    viewer = ViewerModel()
    ct = viewer.add_layer(Layer.create(*layers.ct_layer(volume)))
    first, last = (1, 20, 30), (6, 50, 45)
    ends = np.array([ct.data_to_world(first), ct.data_to_world(last)])
    expected = np.linalg.norm(volume.to_patient(last) - volume.to_patient(first))
    assert measure.length_mm(ct, ends) == pytest.approx(expected)

    # a rectangle across the slices: its area is that of the parallelogram in the patient
    corners = np.array([(1.5, 20, 9.5), (1.5, 20, 29.5), (5.5, 20, 29.5), (5.5, 20, 9.5)])
    world = np.array([ct.data_to_world(corner) for corner in corners])
    label = measure.roi_text(viewer, ct, "rectangle", world)
    values = volume.hu[2:6, 20, 10:30]
    sides = volume.affine[:3, 0] * 4, volume.affine[:3, 2] * 20
    assert f"mean {values.mean():.1f}  SD {values.std():.1f} HU" in label
    assert f"{np.linalg.norm(np.cross(*sides)):.0f} mm²" in label


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_an_ellipse_is_shown_in_its_own_slice_and_in_no_other(phantom: Phantom, axis: int) -> None:
    viewer = ViewerModel()
    ct = open_phantom(viewer, phantom)
    viewer.dims.order = (axis, *(other for other in range(3) if other != axis))
    steps = viewer.dims.nsteps
    actions.ellipse_roi(viewer)
    layer = viewer.layers.selection.active
    assert layer is not ct
    across, down = (other for other in range(3) if other != axis)
    for place in range(8):
        corners = np.full((4, 3), float(place))
        corners[:, across], corners[:, down] = (2, 2, 5, 5), (30, 60, 60, 30)
        layer.data = []
        world = [ct.data_to_world(corner) for corner in corners]
        layer.add([layer.world_to_data(corner) for corner in world], shape_type="ellipse")
        for shown in range(8):
            viewer.dims.set_point(axis, ct.data_to_world([shown] * 3)[axis])
            assert bool(len(layer._data_view._mesh.displayed_triangles)) == (shown == place)
    assert viewer.dims.nsteps == steps, "the sliders keep the steps of the slices"


def test_a_box_stays_a_box_when_a_corner_is_moved() -> None:
    corners = np.array([[3, 0, 0], [3, 4, 0], [3, 4, 6], [3, 0, 6]], float)
    for kind in ("rectangle", "ellipse"):
        changed = measure.with_corner(kind, corners, 2, np.array([9.0, 5, 8]), axis=0)
        assert changed.tolist() == [[3, 0, 0], [3, 5, 0], [3, 5, 8], [3, 0, 8]]
    changed = measure.with_corner("polygon", corners, 2, np.array([9.0, 5, 8]), axis=0)
    assert changed.tolist() == [[3, 0, 0], [3, 4, 0], [3, 5, 8], [3, 0, 6]]


def test_without_a_ct_the_actions_leave_other_images_alone() -> None:
    viewer = ViewerModel()
    other = viewer.add_image(np.zeros((5, 6, 7)))
    limits = tuple(other.contrast_limits)
    for name in ("toggle_heatmap", "toggle_inpainted", "cycle_slab", "no_slab", "preset_2"):
        getattr(actions, name)(viewer)
    for name in ("ruler", "polygon_roi", "clear_measurements", "slice_down"):
        getattr(actions, name)(viewer)
    assert shown_ct(viewer) is None
    assert list(viewer.layers) == [other]
    assert tuple(other.contrast_limits) == limits
    assert viewer.dims.current_step[0] == 3


def test_the_study_that_is_shown_is_worked_on(phantom: Phantom) -> None:
    viewer = ViewerModel()
    first = open_phantom(viewer, phantom)
    second = viewer.add_layer(Layer.create(*layers.ct_layer(layers_copy(phantom))))
    assert shown_ct(viewer) is second
    second.visible = False
    assert shown_ct(viewer) is first
    actions.toggle_inpainted(viewer)
    assert shown_ct(viewer) is first, "its inpainted image is shown"


def layers_copy(phantom: Phantom) -> Any:
    from dataclasses import replace

    return replace(phantom.volume, hu=phantom.volume.hu.copy())
