"""Every action of a reader: what it is called, its keys, and what it does.

Key bindings, the commands of the manifest, the help panel and the table in the documentation
are all made from this one table.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import napari.viewer

from napari_rsna_inpaint._qt import measure, navigation, slab, window
from napari_rsna_inpaint._qt.framing import fit_head
from napari_rsna_inpaint._qt.keys import Action, bind
from napari_rsna_inpaint._qt.settings import settings
from napari_rsna_inpaint._qt.shown import companion, shown_ct

if TYPE_CHECKING:
    from napari_rsna_inpaint._qt.workstation import Workstation

FINDINGS = "Findings"
REGION = "Completing a region anew"
SLICES = "Slices and layers"
WINDOWS = "Display windows"
MEASURING = "Measuring"
HELP = "More"


ACTIONS: list[Action] = []

_Function = Callable[[napari.viewer.Viewer], None]


def _action(
    group: str, title: str, *keys: str, held: bool = False, while_drawing: bool = False
) -> Callable[[_Function], _Function]:
    """Enter a function into the table."""

    def enter(run: _Function) -> _Function:
        ACTIONS.append(Action(run.__name__, group, title, keys, run, held, while_drawing))
        return run

    return enter


def bind_keys(viewer: napari.viewer.Viewer) -> None:
    """Bind every action to its keys in a viewer."""
    bind(viewer, ACTIONS)


def perform(viewer: napari.viewer.Viewer, key: str) -> bool:
    """Do what belongs to a key such as ``"a"``; tells whether there was anything to do."""
    for action in ACTIONS:
        if key.casefold() in map(str.casefold, action.keys):
            action.run(viewer)
            return True
    return False


def _dock(viewer: napari.viewer.Viewer) -> Workstation:
    from napari_rsna_inpaint._qt.study import dock

    return dock(viewer)


@_action(FINDINGS, "Next finding", "N")
def next_finding(viewer: napari.viewer.Viewer) -> None:
    """Go to the next finding."""
    _dock(viewer).next_finding()


@_action(FINDINGS, "Previous finding", "P")
def previous_finding(viewer: napari.viewer.Viewer) -> None:
    """Go to the previous finding."""
    _dock(viewer).previous_finding()


@_action(FINDINGS, "Accept the finding", "A")
def accept(viewer: napari.viewer.Viewer) -> None:
    """Accept the finding that is looked at."""
    _dock(viewer).accept()


@_action(FINDINGS, "Reject the finding; the next key gives the reason", "R")
def reject(viewer: napari.viewer.Viewer) -> None:
    """Reject the finding that is looked at."""
    _dock(viewer).reject()


@_action(FINDINGS, "Unsure about the finding", "U")
def unsure(viewer: napari.viewer.Viewer) -> None:
    """Leave the finding that is looked at undecided."""
    _dock(viewer).unsure()


@_action(FINDINGS, "Supplement: add what was missed, by drawing it", "S")
def supplement(viewer: napari.viewer.Viewer) -> None:
    """Add a finding that was missed."""
    _dock(viewer).supplement()


@_action(FINDINGS, "Undo the last decision", "Z", "Control-Z")
def undo(viewer: napari.viewer.Viewer) -> None:
    """Take back the last decision."""
    _dock(viewer).undo()


@_action(REGION, "Complete the drawn region anew", "X", while_drawing=True)
def reinpaint(viewer: napari.viewer.Viewer) -> None:
    """Complete the drawn region anew."""
    _dock(viewer).reinpaint()


@_action(REGION, "Accept the completion that is previewed", "Enter")
def accept_preview(viewer: napari.viewer.Viewer) -> None:
    """Put the previewed completion into the result."""
    _dock(viewer).accept_preview()


@_action(REGION, "Discard the completion that is previewed", "Escape")
def discard_preview(viewer: napari.viewer.Viewer) -> None:
    """Drop the previewed completion."""
    _dock(viewer).discard_preview()


@_action(SLICES, "One slice up (towards head, front or right)", "PageUp", held=True)
def slice_up(viewer: napari.viewer.Viewer) -> None:
    """Show the slice above."""
    navigation.step_slices(viewer, -1)


@_action(SLICES, "One slice down (towards foot, back or left)", "PageDown", held=True)
def slice_down(viewer: napari.viewer.Viewer) -> None:
    """Show the slice below."""
    navigation.step_slices(viewer, 1)


@_action(SLICES, "Topmost slice", "Home")
def first_slice(viewer: napari.viewer.Viewer) -> None:
    """Show the slice nearest to head, front or right."""
    navigation.go_to_end(viewer, last=False)


@_action(SLICES, "Lowest slice", "End")
def last_slice(viewer: napari.viewer.Viewer) -> None:
    """Show the slice nearest to foot, back or left."""
    navigation.go_to_end(viewer, last=True)


@_action(SLICES, "Fit the head into the view", "F")
def fit(viewer: napari.viewer.Viewer) -> None:
    """Let the head fill the canvas."""
    ct = shown_ct(viewer)
    if ct is None:
        viewer.reset_view()
    else:
        fit_head(viewer, ct)


@_action(SLICES, "Heatmap on or off", "H")
def toggle_heatmap(viewer: napari.viewer.Viewer) -> None:
    """Hide or show the heatmap of the shown study."""
    ct = shown_ct(viewer)
    heatmap = None if ct is None else companion(viewer, ct, "Heatmap")
    if heatmap is None:
        viewer.status = "There is no heatmap yet."
    else:
        heatmap.visible = not heatmap.visible


@_action(SLICES, "Original or inpainted", "O")
def toggle_inpainted(viewer: napari.viewer.Viewer) -> None:
    """Show the inpainted image in place of the CT, or the CT again."""
    ct = shown_ct(viewer)
    inpainted = None if ct is None else companion(viewer, ct, "Inpainted")
    if ct is None or inpainted is None:
        viewer.status = "There is no inpainted image yet."
        return
    inpainted.visible = ct.visible
    ct.visible = not ct.visible


@_action(SLICES, "Thicker slab: means, then MIPs, then single slices", "T")
def cycle_slab(viewer: napari.viewer.Viewer) -> None:
    """Show several slices as one."""
    slab.cycle_slab(viewer)


@_action(SLICES, "Single slices", "Shift-T")
def no_slab(viewer: napari.viewer.Viewer) -> None:
    """Show single slices."""
    slab.show_slab(viewer, slab.Slab())


def _preset(viewer: napari.viewer.Viewer, number: int) -> None:
    presets = settings().presets
    if number > len(presets):
        viewer.status = f"There is no window preset {number}: add one in the preferences."
    else:
        window.set_window(viewer, presets[number - 1].width, presets[number - 1].level)


@_action(WINDOWS, "Window preset 1", "Alt-1")
def preset_1(viewer: napari.viewer.Viewer) -> None:
    """Show the first window of the preferences."""
    _preset(viewer, 1)


@_action(WINDOWS, "Window preset 2", "Alt-2")
def preset_2(viewer: napari.viewer.Viewer) -> None:
    """Show the second window of the preferences."""
    _preset(viewer, 2)


@_action(WINDOWS, "Window preset 3", "Alt-3")
def preset_3(viewer: napari.viewer.Viewer) -> None:
    """Show the third window of the preferences."""
    _preset(viewer, 3)


@_action(WINDOWS, "Window preset 4", "Alt-4")
def preset_4(viewer: napari.viewer.Viewer) -> None:
    """Show the fourth window of the preferences."""
    _preset(viewer, 4)


@_action(WINDOWS, "Window preset 5", "Alt-5")
def preset_5(viewer: napari.viewer.Viewer) -> None:
    """Show the fifth window of the preferences."""
    _preset(viewer, 5)


@_action(WINDOWS, "Window preset 6", "Alt-6")
def preset_6(viewer: napari.viewer.Viewer) -> None:
    """Show the sixth window of the preferences."""
    _preset(viewer, 6)


@_action(WINDOWS, "Window preset 7", "Alt-7")
def preset_7(viewer: napari.viewer.Viewer) -> None:
    """Show the seventh window of the preferences."""
    _preset(viewer, 7)


@_action(WINDOWS, "Window preset 8", "Alt-8")
def preset_8(viewer: napari.viewer.Viewer) -> None:
    """Show the eighth window of the preferences."""
    _preset(viewer, 8)


@_action(WINDOWS, "Window preset 9", "Alt-9")
def preset_9(viewer: napari.viewer.Viewer) -> None:
    """Show the ninth window of the preferences."""
    _preset(viewer, 9)


@_action(MEASURING, "Ruler in mm", "M")
def ruler(viewer: napari.viewer.Viewer) -> None:
    """Measure a length by dragging a line."""
    measure.begin(viewer, "line")


@_action(MEASURING, "Elliptical region: mean, SD, minimum, maximum, area", "E")
def ellipse_roi(viewer: napari.viewer.Viewer) -> None:
    """Measure the HU inside an ellipse."""
    measure.begin(viewer, "ellipse")


@_action(MEASURING, "Rectangular region", "B")
def rectangle_roi(viewer: napari.viewer.Viewer) -> None:
    """Measure the HU inside a rectangle."""
    measure.begin(viewer, "rectangle")


@_action(MEASURING, "Polygonal region; a double click ends it", "G")
def polygon_roi(viewer: napari.viewer.Viewer) -> None:
    """Measure the HU inside a polygon."""
    measure.begin(viewer, "polygon")


@_action(MEASURING, "Remove all measurements", "Shift-M")
def clear_measurements(viewer: napari.viewer.Viewer) -> None:
    """Remove rulers and regions of the shown study."""
    measure.clear(viewer)


@_action(HELP, "Sweep thresholds", "W")
def sweep(viewer: napari.viewer.Viewer) -> None:
    """Open the threshold sweep."""
    _dock(viewer).sweep()


@_action(HELP, "All keys", "F1")
def show_help(viewer: napari.viewer.Viewer) -> None:
    """Show the list of keys."""
    _dock(viewer).show_help()
