"""The table of actions as text: for the help panel and the documentation."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from napari_rsna_inpaint._qt.actions import ACTIONS
from napari_rsna_inpaint._qt.presets import Preset

_NAMES = {
    "Control": "Ctrl",
    "Escape": "Esc",
    "PageUp": "Page Up",
    "PageDown": "Page Down",
}
_MOUSE = [
    ("Wheel", "Scroll slices"),
    ("Ctrl+wheel", "Zoom around the cursor"),
    ("Left drag", "Move the image"),
    ("Left click", "The side views go there"),
    ("Right drag", "Display window: to the right wider, downwards darker"),
]


def key_words(key: str) -> str:
    """Write a key as it is printed on a keyboard: ``"Alt-1"`` becomes ``"Alt+1"``."""
    return "+".join(_NAMES.get(part, part) for part in key.split("-"))


def key_rows(presets: Sequence[Preset] = ()) -> list[tuple[str, list[tuple[str, str]]]]:
    """Keys and what they do, under their headings; the mouse first.

    Parameters
    ----------
    presets
        Window presets to be named.
    """
    names = {
        f"preset_{number}": f": {p.name} ({p.width:g}/{p.level:g})"
        for number, p in enumerate(presets, start=1)
    }
    groups = [
        (
            group,
            [(", ".join(map(key_words, a.keys)), a.title + names.get(a.id, "")) for a in found],
        )
        for group, found in groupby(ACTIONS, lambda action: action.group)
    ]
    return [("Mouse", _MOUSE), *groups]


def markdown_table() -> str:
    """All keys as Markdown, for ``docs/reading.md``."""
    lines = ["| Key | Action |", "|---|---|"]
    for group, rows in key_rows():
        lines.append(f"| **{group}** | |")
        lines += [f"| {keys} | {title} |" for keys, title in rows]
    return "\n".join(lines)
