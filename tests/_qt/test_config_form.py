"""The form of a detector's parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import pytest
from pydantic import Field
from qtpy.QtCore import Qt

from napari_rsna_inpaint.detection.config import DetectorConfig, changed
from napari_rsna_inpaint.evaluate.phantom import Phantom

pytestmark = pytest.mark.gui


class Inner(DetectorConfig):
    kind: Literal["off", "on"] = Field("off", description="whether")
    sigma_mm: float = Field(1.0, ge=0, le=5, description="width, mm")


class Config(DetectorConfig):
    steps: int = Field(4, ge=1, le=99, description="steps up and back")
    keep: bool = Field(False, description="keep it")
    sizes_mm: tuple[float, ...] = Field((8.0, 16.0), description="sides, mm")
    members: tuple[str, ...] = Field(("grid", "b2"), description="names")
    inner: Inner = Field(Inner(), description="nested")


@pytest.fixture
def form(qtbot: Any) -> Any:
    from napari_rsna_inpaint._qt.config_form import ConfigForm

    form = ConfigForm()
    qtbot.addWidget(form)
    form.show_config(Config())
    form.show()
    return form


def test_values_that_were_not_touched_are_no_changes(form: Any) -> None:
    assert form.changes() == {}
    assert not form.reset_button.isVisible()


def test_what_is_entered_makes_the_configuration(form: Any, qtbot: Any) -> None:
    with qtbot.waitSignal(form.changed):
        form.set_values({"steps": 9})
    form.set_values(
        {"keep": True, "sizes_mm": (32.0,), "members": ["cfg", "b2"], "inner.kind": "on"}
    )
    config = changed(Config(), form.changes())
    inner = Inner(kind="on")
    assert config == Config(steps=9, keep=True, sizes_mm=(32,), members=("cfg", "b2"), inner=inner)
    assert form.reset_button.isVisible()
    qtbot.mouseClick(form.reset_button, Qt.MouseButton.LeftButton)
    assert form.changes() == {}


def test_a_field_keeps_its_bounds_and_says_what_it_is(form: Any) -> None:
    label, editor = form._fields["steps"]
    assert (editor.min, editor.max) == (1, 99)
    assert label.toolTip() == "steps up and back"
    _, sigma = form._fields["inner.sigma_mm"]
    assert (sigma.min, sigma.max) == (0, 5)
    _, kind = form._fields["inner.kind"]
    assert kind.choices == ("off", "on")


def test_letters_stay_keys_of_the_reader_until_a_field_is_clicked(form: Any, qtbot: Any) -> None:
    _, editor = form._fields["sizes_mm"]
    assert editor.native.focusPolicy() == Qt.FocusPolicy.ClickFocus
    form.activateWindow()
    qtbot.waitUntil(form.isActiveWindow)
    qtbot.mouseClick(editor.native, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(editor.native.hasFocus)
    qtbot.keyClick(editor.native, Qt.Key.Key_Return)
    assert not editor.native.hasFocus()


def test_the_dock_offers_every_detector_with_its_own_protocols_and_parameters(
    make_napari_viewer: Callable, phantom: Phantom, fake: Any, qtbot: Any
) -> None:
    from napari_rsna_inpaint._qt.study import dock, show_study
    from napari_rsna_inpaint.detection.names import detectors
    from napari_rsna_inpaint.detection.registry import load_detector

    viewer = make_napari_viewer(show=True)
    show_study(viewer, phantom.volume)
    panel = dock(viewer).detect
    for name in detectors():
        with qtbot.waitSignal(panel.choice.described, timeout=60_000):
            panel.choice.load()
            panel.detector.setCurrentText(name)
        kind = load_detector(name)
        offered = [panel.protocol.itemText(row) for row in range(panel.protocol.count())]
        assert offered == list(kind.presets)
        assert kind.summary in panel.choice.about.text()
        assert panel.options()["parameters"] == {}
        for protocol in offered:
            panel.protocol.setCurrentText(protocol)
            assert panel.choice.form.changes() == {}, f"{name} {protocol}: bounds cut a value"
    with qtbot.waitSignal(panel.choice.described, timeout=60_000):
        panel.detector.setCurrentText("cfg")
    panel.choice.form.set_values({"w": 3.5})
    assert panel.options()["parameters"] == {"w": 3.5}
    with qtbot.waitSignal(panel.settled, timeout=10_000):
        panel.start()
    assert fake.options["detector"] == "cfg"
    assert fake.options["parameters"] == {"w": 3.5}
