"""The table of actions as text: for the help panel and the documentation."""

from __future__ import annotations

from itertools import groupby

from napari_rsna_inpaint._qt.actions import ACTIONS
from napari_rsna_inpaint._qt.keys import Action

_NAMES = {
    "Control": "Ctrl",
    "Escape": "Esc",
    "PageUp": "Page Up",
    "PageDown": "Page Down",
}
_MOUSE = (
    ("Wheel", "Scroll slices"),
    ("Ctrl + wheel", "Zoom around the cursor"),
    ("Left drag", "Move the image"),
    ("Right drag", "Window: right is wider, down is darker"),
)


def key_words(key: str) -> str:
    """Write a key as it is printed on a keyboard: ``"Alt-1"`` becomes ``"Alt+1"``."""
    return "+".join(_NAMES.get(part, part) for part in key.split("-"))


def grouped_actions() -> list[tuple[str, list[Action]]]:
    """The actions under their headings, in the order of the table."""
    return [(group, list(found)) for group, found in groupby(ACTIONS, lambda a: a.group)]


def mouse_rows() -> list[tuple[str, str]]:
    """What the mouse does with the radiology habits."""
    return list(_MOUSE)


def markdown_table() -> str:
    """All keys as Markdown, for ``docs/reading.md``."""
    lines = ["| Key | Action |", "|---|---|"]
    rows = [("Mouse", mouse_rows())] + [
        (group, [(", ".join(map(key_words, a.keys)), a.title) for a in found])
        for group, found in grouped_actions()
    ]
    for group, entries in rows:
        lines.append(f"| **{group}** | |")
        lines += [f"| {keys} | {title} |" for keys, title in entries]
    return "\n".join(lines)
