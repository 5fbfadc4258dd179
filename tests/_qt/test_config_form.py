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
    small: float = Field(0.0005, ge=0, le=1, description="a small number")
    sizes_mm: tuple[float, ...] = Field((8.0, 16.0), description="sides, mm")
    offsets: tuple[tuple[float, float], ...] = Field(((0.0, 0.5),), description="shifts")
    members: tuple[str, ...] = Field(("grid", "b2"), description="names")
    inner: Inner = Field(Inner(), description="nested")
    seed: int | None = Field(None, ge=0, description="a number, or none")
    extra: Inner | None = Field(None, description="a group that may be missing")
    usual: Inner | None = Field(Inner(), description="a group that may be taken away")


@pytest.fixture
def form(qtbot: Any) -> Any:
    from napari_rsna_inpaint._qt.config_form import ConfigForm

    form = ConfigForm()
    qtbot.addWidget(form)
    form.show_config(Config())
    form.show()
    return form


def part(form: Any, name: str) -> Any:
    parts = form._parts
    for own in name.split("."):
        found = next(one for one in parts if one.name == own)
        parts = found.parts
    return found


def test_values_that_were_not_touched_are_no_changes(form: Any) -> None:
    assert form.changes() == {}
    assert form.problem() == ""
    assert not form.reset_button.isEnabled()


def test_what_is_entered_makes_the_configuration(form: Any, qtbot: Any) -> None:
    with qtbot.waitSignal(form.changed):
        form.set_values({"steps": 9})
    form.set_values(
        {
            "keep": True,
            "sizes_mm": (32.0,),
            "offsets": ((0.25, 0.0), (0.5, 0.5)),
            "members": ["cfg", "b2"],
            "inner.kind": "on",
        }
    )
    assert changed(Config(), form.changes()) == Config(
        steps=9,
        keep=True,
        sizes_mm=(32,),
        offsets=((0.25, 0), (0.5, 0.5)),
        members=("cfg", "b2"),
        inner=Inner(kind="on"),
    )
    for name, touched in (("steps", True), ("inner.kind", True), ("small", False)):
        assert part(form, name).label.font().bold() == touched
    qtbot.mouseClick(form.reset_button, Qt.MouseButton.LeftButton)
    assert form.changes() == {}


def test_what_may_be_missing_is_switched(form: Any) -> None:
    assert not part(form, "extra.kind").editor.enabled
    part(form, "extra").switch.setChecked(True)
    form.set_values({"extra.sigma_mm": 2.0, "seed": 7})
    part(form, "usual").switch.setChecked(False)
    assert changed(Config(), form.changes()) == Config(extra=Inner(sigma_mm=2), seed=7, usual=None)


def test_what_cannot_be_used_is_said_at_once(form: Any) -> None:
    form.set_values({"sizes_mm": "8, wide"})
    assert "sizes_mm" in form.problem()
    assert form.complaint.isVisible()
    form.set_values({"sizes_mm": "8, 4"})
    assert not form.complaint.isVisible()


def test_a_field_keeps_its_bounds_and_says_what_it_is(form: Any) -> None:
    steps = part(form, "steps")
    assert (steps.editor.min, steps.editor.max) == (1, 99)
    assert "steps up and back" in steps.label.toolTip()
    assert part(form, "sizes_mm").label.text() == "Sizes (mm)"
    sigma = part(form, "inner.sigma_mm").editor
    assert (sigma.min, sigma.max) == (0, 5)
    assert part(form, "inner.kind").editor.choices == ("off", "on")


def test_letters_stay_keys_of_the_reader_until_a_field_is_clicked(form: Any, qtbot: Any) -> None:
    assert part(form, "inner.kind").editor.native.focusPolicy() == Qt.FocusPolicy.NoFocus
    assert part(form, "keep").editor.native.focusPolicy() == Qt.FocusPolicy.NoFocus
    native = part(form, "sizes_mm").editor.native
    assert native.focusPolicy() == Qt.FocusPolicy.ClickFocus
    form.activateWindow()
    qtbot.waitUntil(form.isActiveWindow)
    qtbot.mouseClick(native, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(native.hasFocus)
    qtbot.keyClick(native, Qt.Key.Key_Return)
    assert not native.hasFocus()


def test_the_dock_offers_every_detector_with_its_own_protocols_and_parameters(
    make_napari_viewer: Callable, phantom: Phantom, fake: Any, qtbot: Any
) -> None:
    from napari_rsna_inpaint._qt.study import dock, show_study
    from napari_rsna_inpaint.detection.names import detectors
    from napari_rsna_inpaint.detection.registry import load_detector

    viewer = make_napari_viewer(show=True)
    show_study(viewer, phantom.volume)
    station = dock(viewer)
    panel, choice = station.detect, station.detect.choice

    def choose(name: str) -> None:
        choice.detector.setCurrentIndex(choice.detector.findData(name))

    with qtbot.waitSignal(choice.described, timeout=60_000):
        station.tabs.setCurrentWidget(choice)
    for name in detectors():
        choose(name)
        kind = load_detector(name)
        offered = [panel.protocol.itemText(row) for row in range(panel.protocol.count())]
        assert offered == list(kind.presets)
        assert choice.detector.currentText() == kind.title
        assert kind.summary == choice.about.text()
        for protocol in offered:
            panel.protocol.setCurrentText(protocol)
            assert panel.options()["parameters"] == {}, f"{name} {protocol}: a field cut a value"
            assert choice.problem() == ""
    choose("cfg")
    panel.protocol.setCurrentText("fast")
    choice.form.set_values({"w": 3.5})
    assert "1 value changed" in panel.how.text()
    with qtbot.waitSignal(panel.settled, timeout=10_000):
        panel.start()
    assert fake.options["detector"] == "cfg"
    assert fake.options["protocol"] == "fast"
    assert fake.options["parameters"] == {"w": 3.5}
    assert station.tabs.currentWidget() is station.findings


def test_a_detector_that_cannot_be_loaded_says_why_and_stays_chosen(
    make_napari_viewer: Callable, fake: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_rsna_inpaint._qt.study import dock
    from napari_rsna_inpaint.detection import registry
    from napari_rsna_inpaint.errors import InputRefused

    load = registry.load_detector

    def broken(name: str) -> Any:
        if name == "picard":
            raise InputRefused("The detector 'picard' cannot be loaded.")
        return load(name)

    monkeypatch.setattr(registry, "load_detector", broken)
    choice = dock(make_napari_viewer()).detect.choice
    choice.detector.setCurrentIndex(choice.detector.findData("picard"))
    qtbot.waitUntil(lambda: not choice.loading, timeout=60_000)
    assert choice.about.text() == "The detector 'picard' cannot be loaded."
    assert choice.name == "picard"
    choice.detector.setCurrentIndex(choice.detector.findData("b2"))
    assert choice.about.text() == load("b2").summary
