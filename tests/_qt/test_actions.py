from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
import pytest
from napari.layers import Image, Labels, Layer, Points, Shapes
from napari.utils.key_bindings import KeymapHandler, coerce_keybinding

from napari_rsna_inpaint._qt import actions, layers
from napari_rsna_inpaint._qt.actions import ACTIONS, bind_keys, perform
from napari_rsna_inpaint._qt.help_panel import HelpPanel
from napari_rsna_inpaint._qt.key_table import markdown_table
from napari_rsna_inpaint.evaluate.phantom import Phantom

DOCS = Path(__file__).parents[2] / "docs" / "reading.md"
KEYS = [(key, action) for action in ACTIONS for key in action.keys]


def test_the_documentation_lists_the_keys_of_the_table() -> None:
    text = DOCS.read_text(encoding="utf-8")
    between = text.split("<!-- keys -->")[1].split("<!-- end of keys -->")[0]
    assert between.strip() == markdown_table()


def test_no_key_is_given_twice() -> None:
    written = [str(coerce_keybinding(key)) for key, _ in KEYS]
    assert len(written) == len(set(written))


def test_every_action_is_a_function_of_the_module_that_napari_can_call() -> None:
    for action in ACTIONS:
        assert getattr(actions, action.id) is action.run
        assert action.run.__annotations__["viewer"] == "napari.viewer.Viewer"


class Recorder:
    """Stands in for what the actions do."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.done: list[str] = []
        for action in ACTIONS:
            monkeypatch.setitem(
                action.__dict__, "run", lambda _viewer, name=action.id: self.done.append(name)
            )

    def pressed(self, viewer: napari.Viewer, active: Layer | None) -> dict[str, list[str]]:
        """What each key does with a layer active, by napari's own rules of precedence."""
        handler = KeymapHandler()
        handler.keymap_providers = [viewer] if active is None else [active, viewer]
        keymap = handler.active_keymap
        result = {}
        for key, _ in KEYS:
            self.done = []
            command = keymap[coerce_keybinding(key)]
            if "rsna_inpaint" in command.__module__:
                running = command()
                if running is not None:
                    next(running)
                    running.close()
            result[key] = self.done
        return result


@pytest.mark.gui
def test_our_keys_and_those_of_napari(
    make_napari_viewer: Callable, phantom: Phantom, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One window for all, because each costs a second."""
    from napari._app_model import get_app_model

    viewer = make_napari_viewer()
    taken = {str(key) for cls in type(viewer).__mro__ for key in getattr(cls, "class_keymap", ())}
    taken |= {str(entry.keybinding) for entry in get_app_model().keybindings}
    clashes = {str(coerce_keybinding(key)) for key, _ in KEYS} & taken
    assert not clashes, f"keys of napari's window and menus: {clashes}"

    recorder = Recorder(monkeypatch)
    every_key = {key: [action.id] for key, action in KEYS}
    bind_keys(viewer)
    image = Layer.create(*layers.ct_layer(phantom.volume))
    mask = Layer.create(*layers.mask_layer(phantom.volume, phantom.brain_mask))
    shapes = Shapes(ndim=3, **layers.geometry(phantom.volume))
    for ours in (image, mask, shapes):
        viewer.add_layer(ours)
        assert recorder.pressed(viewer, ours) == every_key, ours
    assert recorder.pressed(viewer, None) == every_key

    foreign: list[Any] = [
        Labels(phantom.brain_mask.astype("uint8"), name="mine"),
        Shapes(ndim=3, name="mine"),
        Points(ndim=3, name="mine"),
        Image(phantom.volume.hu, name="mine"),
    ]
    mask.visible = True  # what is hidden cannot be drawn in
    mask.mode, shapes.mode = "paint", "add_polygon"
    for layer in [*foreign, mask, shapes]:
        if layer in foreign:
            viewer.add_layer(layer)
        own = {str(key) for cls in type(layer).__mro__ for key in getattr(cls, "class_keymap", ())}
        expected = {
            key: []
            if str(coerce_keybinding(key)) in own
            and not (action.while_drawing and layer in (mask, shapes))
            else [action.id]
            for key, action in KEYS
        }
        assert recorder.pressed(viewer, layer) == expected, layer
    mask.mode = "pan_zoom"
    assert recorder.pressed(viewer, mask) == every_key


def test_a_typed_letter_performs_its_action(monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder(monkeypatch)
    assert perform(None, "a")  # type: ignore[arg-type]
    assert not perform(None, "\N{SNOWMAN}")  # type: ignore[arg-type]
    assert recorder.done == ["accept"]


@pytest.mark.gui
def test_the_help_panel_finds_what_is_typed(qtbot: Any) -> None:
    panel = HelpPanel()
    qtbot.addWidget(panel)

    everything = panel.list.toPlainText()
    assert all(action.title in everything for action in ACTIONS)
    assert "Window preset 1: brain (80/40)" in everything
    panel.search.setText("ruler mm")
    assert panel.list.toPlainText().split() == ["Measuring", "M", "Ruler", "in", "mm"]
    panel.search.setText("no such thing")
    assert panel.list.toPlainText() == ""
