"""Slices of the main view: step by step, to the ends, and fitted into the canvas."""

from __future__ import annotations

from napari.components import ViewerModel

from napari_rsna_inpaint._qt.shown import shown_ct


def scrolled_axis(viewer: ViewerModel) -> int | None:
    """World axis that slices are scrolled along; None in 3-D and where there is none."""
    hidden = viewer.dims.not_displayed
    return hidden[-1] if hidden else None


def step_slices(viewer: ViewerModel, steps: int) -> bool:
    """Move by slices of the CT: towards foot, back or left where ``steps`` is positive.

    Returns
    -------
    bool
        Whether another slice is shown now.
    """
    axis = scrolled_axis(viewer)
    if axis is None:
        return False
    ct = shown_ct(viewer)
    before = viewer.dims.point[axis]
    if ct is None:
        viewer.dims.set_current_step(axis, viewer.dims.current_step[axis] + steps)
    else:
        # world axes run to foot, back and left, array axes either way
        forward = steps if ct.scale[axis] > 0 else -steps
        index = [round(i) for i in ct.world_to_data(viewer.dims.point)]
        index[axis] = min(max(index[axis] + forward, 0), ct.data.shape[axis] - 1)
        viewer.dims.set_point(axis, ct.data_to_world(index)[axis])
    return viewer.dims.point[axis] != before


def go_to_end(viewer: ViewerModel, last: bool) -> None:
    """Go to the last slice (foot, back or left) or to the first one (head, front, right)."""
    most = max(viewer.dims.nsteps)
    step_slices(viewer, most if last else -most)
