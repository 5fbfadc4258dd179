"""Curves and histograms beside the threshold sweep."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backend_bases import MouseEvent
from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from qtpy.QtWidgets import QSizePolicy

from napari_rsna_inpaint.sweep.metrics import METRICS
from napari_rsna_inpaint.sweep.run import Sweep

_BACK, _TEXT, _GRID = "#16181b", "#b4bcc3", "#2a2e33"
_MAIN, _SECOND, _LINE = "#ffb74d", "#64b5f6", "#e0e0e0"
_HEIGHT = 150
#: Bins of a histogram, HU.
_BIN = 2.0

FloatArray = npt.NDArray[np.floating]


class Plot(FigureCanvasQTAgg):
    """A small dark plot with a line at the threshold.

    Parameters
    ----------
    moved
        Is given the threshold to which the line is dragged, and whether it was let go.
    """

    def __init__(self, moved: Callable[[float, bool], None] | None = None) -> None:
        figure = Figure(facecolor=_BACK, layout="constrained")
        super().__init__(figure)
        self.setMinimumHeight(_HEIGHT)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Expanding)
        self._moved = moved
        self._axes: Axes | None = None
        self._line: Line2D | None = None
        self._clean: Any = None
        self._held = False
        self.mpl_connect("draw_event", self._keep)
        self.mpl_connect("button_press_event", self._press)
        self.mpl_connect("motion_notify_event", self._drag)
        self.mpl_connect("button_release_event", self._release)
        self.say("")

    def say(self, text: str) -> None:
        """Show words instead of a plot."""
        self._clear()
        self.figure.text(0.5, 0.5, text, color=_TEXT, ha="center", va="center", fontsize=9)
        self.draw_idle()

    def show_counts(self, found: Sweep, threshold: float) -> None:
        """Candidates and flagged squares against the threshold."""
        axes = self._begin()
        metric = METRICS[found.settings.metric]
        x = found.column("threshold")
        axes.step(x, found.column("candidates_per_scan"), where="pre", color=_MAIN, lw=1.5)
        _label(axes, metric.label, "candidates", _MAIN)
        axes.set_ylim(0, None)
        if metric.kind == "square":
            other = axes.twinx()
            other.step(x, found.column("squares_per_scan"), where="pre", color=_SECOND, lw=1.2)
            _label(other, "", "flagged squares", _SECOND)
            other.set_ylim(0, None)
        axes.set_xlim(x[0], x[-1])
        # on the topmost axes, where the mouse is felt
        self._axes = self.figure.axes[-1]
        self._line = self._axes.axvline(threshold, color=_LINE, lw=1.2, animated=True)
        self.draw_idle()

    def show_histograms(self, title: str, original: FloatArray, inpainted: FloatArray) -> None:
        """Values of one square before and after, HU."""
        axes = self._begin()
        both = np.concatenate([original, inpainted])
        low, high = np.floor(np.percentile(both, [0.5, 99.5]) / _BIN) * _BIN
        bins = np.arange(low - _BIN, high + 2 * _BIN, _BIN).tolist()
        for values, colour, name in (
            (original, _MAIN, "original"),
            (inpainted, _SECOND, "inpainted"),
        ):
            axes.hist(values, bins, histtype="step", color=colour, lw=1.5, label=name)
        axes.legend(frameon=False, fontsize=8, labelcolor=_TEXT, loc="upper right")
        axes.set_title(title, fontsize=8, color=_TEXT)
        _label(axes, "HU", "pixels", _TEXT)
        self.draw_idle()

    def show_verdicts(self, found: Sweep, threshold: float) -> None:
        """Accepted findings against rejected ones that each threshold keeps."""
        rejected, accepted = found.column("rejected_kept"), found.column("accepted_kept")
        one = found.curves[0]
        if one.accepted is None or one.rejected is None:
            self.say("Accept and reject findings first:\nthen this shows what a threshold keeps.")
            return
        axes = self._begin()
        right, false = one.accepted.total, one.rejected.total
        x, y = rejected * false, accepted * right
        axes.plot(x, y, color=_MAIN, lw=1.5, marker=".", ms=4)
        at = int(np.abs(found.column("threshold") - threshold).argmin())
        axes.plot(x[at], y[at], "o", color=_LINE, ms=7, mfc="none")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(integer=True, nbins=6))
        axes.set_xlim(-0.05 * false, 1.05 * false)
        axes.set_ylim(-0.05 * right, 1.05 * right)
        _label(axes, "rejected findings kept", "accepted findings kept", _TEXT)
        self.draw_idle()

    def move_line(self, threshold: float) -> None:
        """Move the line; the rest is not drawn anew."""
        if self._line is None or self._axes is None:
            return
        self._line.set_xdata([threshold, threshold])
        if self._clean is not None:
            self.restore_region(self._clean)
            self._axes.draw_artist(self._line)
            self.blit(self.figure.bbox)

    def _begin(self) -> Axes:
        self._clear()
        return self.figure.add_subplot()

    def _clear(self) -> None:
        self.figure.clear()
        self._line = self._clean = self._axes = None

    def _keep(self, _event: object) -> None:
        """Remember the picture without the line, and draw the line over it."""
        if self._line is not None and self._axes is not None:
            self._clean = self.copy_from_bbox(self.figure.bbox)
            self._axes.draw_artist(self._line)

    def _press(self, event: MouseEvent) -> None:
        if event.button == 1 and self._line is not None and event.inaxes is not None:
            self._held = True
            self._drag(event)

    def _drag(self, event: MouseEvent) -> None:
        if self._held and event.xdata is not None and self._moved is not None:
            self._moved(float(event.xdata), False)

    def _release(self, _event: MouseEvent) -> None:
        if self._held and self._line is not None and self._moved is not None:
            self._moved(float(np.asarray(self._line.get_xdata())[0]), True)
        self._held = False


def _label(axes: Axes, x: str, y: str, colour: str) -> None:
    axes.set_facecolor(_BACK)
    axes.set_xlabel(x, fontsize=8, color=_TEXT)
    axes.set_ylabel(y, fontsize=8, color=colour)
    axes.tick_params(colors=_TEXT, labelsize=8, length=2)
    axes.grid(color=_GRID, lw=0.6)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(_GRID)
