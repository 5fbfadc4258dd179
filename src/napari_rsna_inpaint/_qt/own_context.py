"""OpenGL commands of a canvas go to its own context."""

from __future__ import annotations

from napari.qt import QtViewer


def keep_own_context(view: QtViewer) -> None:
    """Let a canvas make its context current before it waits for OpenGL, as after a removal.

    napari 0.9 then passes commands on to whichever context is current, which may be that of
    another canvas or of the window; the next drawing crashes the program, with some drivers.
    """
    canvas = view.canvas._scene_canvas
    wait = canvas.context.finish

    def finish() -> None:
        canvas.set_current()
        wait()

    canvas.context.finish = finish
