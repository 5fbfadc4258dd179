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
    frame, other = itself(frame), widget.parentWidget()
    while other is not None and not isinstance(other, QDockWidget):
        other = other.parentWidget()
    window = frame.parent()
    retitle(frame, frame.name.split(" (")[0])
    if isinstance(other, QDockWidget) and isinstance(window, QMainWindow):
        window.tabifyDockWidget(other, frame)
    frame.show()
    frame.raise_()
