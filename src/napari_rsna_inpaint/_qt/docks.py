"""What napari's dock widgets need beyond what napari does."""

from __future__ import annotations

from typing import Any

from qtpy.QtWidgets import QDockWidget, QLabel, QMainWindow, QWidget


def itself(thing: Any) -> Any:
    """What is behind the proxy that napari gives to the commands of a menu; Qt takes no proxy."""
    return getattr(thing, "__wrapped__", thing)


def retitle(frame: Any, title: str) -> None:
    """Let a dock have its own name: napari appends the plugin's, which a narrow dock cuts off."""
    frame = itself(frame)
    frame.setWindowTitle(title)
    bar = frame.titleBarWidget()
    label = None if bar is None else bar.findChild(QLabel)
    if label is not None:
        label.setText(title)


def beside(frame: Any, widget: QWidget) -> None:
    """Show a dock as a tab of the dock that holds ``widget``, in front."""
    frame, other = itself(frame), _dock_of(widget)
    window = frame.parent()
    retitle(frame, frame.name.split(" (")[0])
    if other is not None and isinstance(window, QMainWindow):
        window.tabifyDockWidget(other, frame)
    frame.show()
    frame.raise_()


def to_front(widget: QWidget) -> None:
    """Show the dock that holds ``widget``, in front of the docks in the same place."""
    frame = _dock_of(widget)
    if frame is not None:
        frame.show()
        frame.raise_()


def _dock_of(widget: QWidget) -> QDockWidget | None:
    parent = widget.parentWidget()
    while parent is not None and not isinstance(parent, QDockWidget):
        parent = parent.parentWidget()
    return parent
