"""Pictures of a sweep."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from napari_rsna_inpaint import STATEMENT
from napari_rsna_inpaint.evaluate.plots import save
from napari_rsna_inpaint.sweep.metrics import METRICS
from napari_rsna_inpaint.sweep.run import Sweep

_MAIN, _SECOND, _GUIDE = "#c2410c", "#2b6cb0", "#8a8a8a"


def draw_sweep(path: Path, found: Sweep) -> Path:
    """Write one PNG with all curves that are known.

    Raises
    ------
    OutputFailed
        If it cannot be written.
    """
    panels = [draw for draw, columns in _PANELS if _known(found, columns)]
    figure = Figure(figsize=(5.2 * len(panels), 4.4), layout="constrained")
    for number, draw in enumerate(panels, start=1):
        axes = figure.add_subplot(1, len(panels), number)
        draw(axes, found)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="#f0f0f0", linewidth=0.8)
        axes.set_axisbelow(True)
    figure.supxlabel(STATEMENT, fontsize=7, color="#777777")
    return save(figure, path)


def _known(found: Sweep, columns: tuple[str, ...]) -> bool:
    return all(np.isfinite(found.column(name)).any() for name in columns)


def _counts(axes: Axes, found: Sweep) -> None:
    metric = METRICS[found.settings.metric]
    thresholds = found.column("threshold")
    axes.step(thresholds, found.column("candidates_per_scan"), where="pre", color=_MAIN)
    axes.set(xlabel=metric.label, ylim=(0, None))
    axes.set_ylabel("candidates per scan", color=_MAIN)
    if metric.kind == "square":
        other = axes.twinx()
        other.step(thresholds, found.column("squares_per_scan"), where="pre", color=_SECOND)
        other.set_ylabel("flagged squares per scan", color=_SECOND)
        other.set_ylim(0, None)
        other.spines[["top"]].set_visible(False)
    if found.settings.threshold is not None:
        axes.axvline(found.settings.threshold, color=_GUIDE, linewidth=1)


def _slices(axes: Axes, found: Sweep) -> None:
    x, y = 1 - found.column("slice_specificity"), found.column("slice_sensitivity")
    axes.plot(x, y, color=_MAIN, marker=".", markersize=4)
    axes.set(xlabel="1 - specificity (slices)", ylabel="sensitivity (slices)")
    axes.set(xlim=(-0.01, 1.02), ylim=(-0.01, 1.02))


def _froc(axes: Axes, found: Sweep) -> None:
    x, y = found.column("false_per_scan"), found.column("lesion_sensitivity")
    axes.plot(x, y, color=_MAIN, marker=".", markersize=4)
    axes.set(xlabel="false candidates per scan", ylabel="outlined bleeds hit")
    axes.set(xlim=(0, min(np.nanmax(x) * 1.05 + 0.1, 20)), ylim=(-0.01, 1.02))


def _pixels(axes: Axes, found: Sweep) -> None:
    axes.plot(found.column("pixel_recall"), found.column("pixel_precision"), color=_MAIN)
    axes.set(xlabel="recall (pixels)", ylabel="precision (pixels)")
    axes.set(xlim=(-0.01, 1.02), ylim=(-0.01, 1.02))


def _verdicts(axes: Axes, found: Sweep) -> None:
    axes.plot(
        found.column("rejected_kept"),
        found.column("accepted_kept"),
        color=_MAIN,
        marker=".",
        markersize=4,
    )
    axes.set(xlabel="rejected findings kept", ylabel="accepted findings kept")
    axes.set(xlim=(-0.01, 1.02), ylim=(-0.01, 1.02))


_PANELS = (
    (_counts, ("candidates_per_scan",)),
    (_slices, ("slice_sensitivity", "slice_specificity")),
    (_froc, ("lesion_sensitivity", "false_per_scan")),
    (_pixels, ("pixel_recall", "pixel_precision")),
    (_verdicts, ("accepted_kept", "rejected_kept")),
)
