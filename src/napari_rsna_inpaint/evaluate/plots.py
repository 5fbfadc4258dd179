"""ROC, precision-recall and FROC curves of all methods in one picture each."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from napari_rsna_inpaint import STATEMENT
from napari_rsna_inpaint.evaluate.measures import (
    PooledScores,
    gather,
    lesion_sweep,
    slice_sweep,
    touch_sweep,
)
from napari_rsna_inpaint.evaluate.metrics import Sweep
from napari_rsna_inpaint.evaluate.report import TITLES, sets_of
from napari_rsna_inpaint.evaluate.summary import METHODS, OURS, ScanSummary
from napari_rsna_inpaint.io.write import write_atomic

#: Baselines in greys and blue, ours in front; also told apart without colour.
_STYLES: dict[str, dict[str, Any]] = {
    "B0": {"color": "#b8b8b8", "linestyle": ":"},
    "B1": {"color": "#8a8a8a", "linestyle": "--"},
    "B2": {"color": "#2b6cb0", "linestyle": "-."},
    OURS: {"color": "#c2410c", "linestyle": "-", "linewidth": 2.2},
}
_MOST_FALSE = 8.0


def draw_curves(folder: Path, summaries: Sequence[ScanSummary]) -> list[Path]:
    """Write ``roc_*.png``, ``pr_*.png`` and ``froc_*.png`` for every table.

    Without outlines the FROC shows bleeding slices touched by findings. A curve that does not
    exist (no bleed, no scan without one) is not drawn.

    Raises
    ------
    OutputFailed
        If a file cannot be written.
    """
    written = []
    for name, group in sets_of(summaries).items():
        pooled = {method: gather(group, method) for method in METHODS}
        ours = pooled[OURS]
        both = 0 < ours.slice_bleeds.sum() < len(ours.slice_bleeds)
        plots: list[tuple[str, bool, Callable[[Axes, dict[str, PooledScores]], None]]] = [
            ("roc", both, _roc),
            ("pr", both, _precision_recall),
            ("froc", len(ours.lesions.scores) > 0, _lesions),
            (
                "froc_slices",
                len(ours.touching.scores) > 0 and len(ours.clear.scores) > 0,
                _touches,
            ),
        ]
        for kind, exists, draw in plots:
            if exists:
                figure = Figure(figsize=(5.6, 5.4), layout="constrained")
                axes = figure.add_subplot()
                draw(axes, pooled)
                _finish(figure, axes, TITLES[name])
                written.append(save(figure, folder / f"{kind}_{name}.png"))
    return written


def save(figure: Figure, path: Path, dpi: int = 130) -> Path:
    """Write a figure as PNG, whole or not at all."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, facecolor=figure.get_facecolor())
    return write_atomic(path, buffer.getvalue())


def _roc(axes: Axes, pooled: dict[str, PooledScores]) -> None:
    axes.plot([0, 1], [0, 1], color="#dddddd", linewidth=1)
    for method, e in pooled.items():
        sweep = slice_sweep(e)
        x = np.concatenate([[0], sweep.false / sweep.negatives, [1]])
        y = np.concatenate([[0], sweep.true / sweep.positives, [1]])
        axes.plot(x, y, label=f"{method}  {float(sweep.auroc()):.3f}", **_STYLES[method])
    axes.set(xlabel="1 - specificity (slices)", ylabel="sensitivity (slices)", aspect="equal")
    axes.legend(title="AUROC", loc="lower right", frameon=False)


def _precision_recall(axes: Axes, pooled: dict[str, PooledScores]) -> None:
    share = pooled[OURS].slice_bleeds.mean()
    axes.axhline(share, color="#dddddd", linewidth=1)
    for method, e in pooled.items():
        sweep = slice_sweep(e)
        found = sweep.true + sweep.false
        label = f"{method}  {float(sweep.average_precision()):.3f}"
        precision = sweep.true / found
        axes.step(
            np.append(0, sweep.true / sweep.positives),
            np.append(precision[0], precision),
            where="pre",
            label=label,
            **_STYLES[method],
        )
    axes.set(xlabel="sensitivity (slices)", ylabel="positive predictive value")
    axes.legend(title="average precision", loc="best", frameon=False)


def _lesions(axes: Axes, pooled: dict[str, PooledScores]) -> None:
    _froc(axes, {method: lesion_sweep(e) for method, e in pooled.items()})
    axes.set(xlabel="false findings per scan", ylabel="lesions found")


def _touches(axes: Axes, pooled: dict[str, PooledScores]) -> None:
    _froc(axes, {method: touch_sweep(e) for method, e in pooled.items()})
    axes.set(
        xlabel="false findings per scan without bleed",
        ylabel="bleeding slices touched by a finding",
    )


def _froc(axes: Axes, sweeps: dict[str, Sweep]) -> None:
    for method, sweep in sweeps.items():
        x = np.append(0, sweep.false / sweep.negatives)
        y = np.append(0, sweep.true / sweep.positives)
        axes.step(
            np.append(x, max(x[-1], _MOST_FALSE)),
            np.append(y, y[-1]),
            where="post",
            label=f"{method}  {float(sweep.sensitivity_at(1.0)):.2f}",
            **_STYLES[method],
        )
    axes.axvline(1, color="#dddddd", linewidth=1, zorder=0)
    axes.set_xlim(0, _MOST_FALSE)
    axes.legend(title="at 1 false finding", loc="lower right", frameon=False)


def _finish(figure: Figure, axes: Axes, title: str) -> None:
    axes.set_title(title, fontsize=11, loc="left")
    axes.set_ylim(-0.01, 1.02)
    if axes.get_xlim()[1] <= 1.2:
        axes.set_xlim(-0.01, 1.02)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#f0f0f0", linewidth=0.8)
    axes.set_axisbelow(True)
    figure.supxlabel(STATEMENT, fontsize=7, color="#777777")
