"""Actions, and their keys in a viewer.

napari looks for a key in the active layer first and in the viewer last, and layers have letters
of their own. So the keys are bound to the viewer, and once more to every layer of a study, but
not while something is drawn in it: then napari's drawing keys count, as they do in layers that
are not ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import ref

from napari.layers import Layer
from napari.viewer import Viewer
from qtpy.QtCore import QTimer

from napari_rsna_inpaint._qt.layers import layer_volume

_REPEAT_AFTER_MS = 350
_REPEAT_EVERY_MS = 60


@dataclass(frozen=True)
class Action:
    """Something that a reader can do.

    Attributes
    ----------
    id
        Name of its function in `actions`, and last part of the command in the manifest.
    group
        Heading under which it is listed.
    title
        What it does, in a few words.
    keys
        Keys as napari writes them, such as ``"Alt-1"``; any of them will do.
    run
        Does it, given the viewer.
    held
        Goes on while the key is held.
    while_drawing
        Its key counts also while something is drawn in a layer of the study.
    """

    id: str
    group: str
    title: str
    keys: tuple[str, ...]
    run: Callable[[Viewer], None]
    held: bool = False
    while_drawing: bool = False


def bind(viewer: Viewer, actions: Sequence[Action]) -> None:
    """Bind actions to their keys, in the viewer and in layers of studies, also later ones."""
    found = ref(viewer)

    def bind_layer(layer: Layer) -> None:
        if layer_volume(layer) is not None:
            _follow_mode(layer, actions, found)

    for action in actions:
        for key in action.keys:
            viewer.bind_key(key, _handler(action, found), overwrite=True)
    for layer in viewer.layers:
        bind_layer(layer)
    viewer.layers.events.inserted.connect(lambda event: bind_layer(event.value))


def _follow_mode(layer: Layer, actions: Sequence[Action], viewer: ref[Viewer]) -> None:
    """Bind our keys in a layer, and give them back while something is drawn in it."""

    def update(_event: Any = None) -> None:
        drawing = str(layer.mode) != "pan_zoom"
        for action in actions:
            wanted = action.while_drawing or not drawing
            for key in action.keys:
                layer.bind_key(key, _handler(action, viewer) if wanted else None, overwrite=True)

    layer.events.mode.connect(update)
    update()


def _handler(action: Action, viewer: ref[Viewer]) -> Callable[[Any], Any]:
    """Make what napari calls with the viewer or layer that a key was bound to."""

    def once(_owner: Any) -> None:
        found = viewer()
        if found is not None:
            action.run(found)

    def held(_owner: Any) -> Iterator[None]:
        once(_owner)
        repeat = QTimer()
        repeat.setInterval(_REPEAT_AFTER_MS)

        def again() -> None:
            found = viewer()
            before = None if found is None else found.dims.point
            once(_owner)
            repeat.setInterval(_REPEAT_EVERY_MS)
            # at the end nothing moves; the release of the key may never be heard of
            if found is None or found.dims.point == before:
                repeat.stop()

        repeat.timeout.connect(again)
        repeat.start()
        try:
            yield
        finally:
            repeat.stop()

    return held if action.held else once
