"""One picture of a comparison: the same slices through the eyes of every detector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from napari_rsna_inpaint import STATEMENT
from napari_rsna_inpaint.evaluate import store
from napari_rsna_inpaint.evaluate.cases import Case
from napari_rsna_inpaint.evaluate.plots import save
from napari_rsna_inpaint.evaluate.run import SCANS
from napari_rsna_inpaint.evaluate.sheet import (
    WINDOW_HU,
    Picture,
    canonical,
    field_of,
    outline,
    whole_plane,
)
from napari_rsna_inpaint.evaluate.store import Stored
from napari_rsna_inpaint.evaluate.summary import ScanSummary
from napari_rsna_inpaint.io import read

_BLEEDING = 5
_FALSE = 4
_SIDE = 2.1  # inch
_HEAD, _FOOT = 0.35, 0.75  # inch
_FINDING = "#5fd0ff"


@dataclass(frozen=True)
class Row:
    """A slice to show, and why."""

    case: Case
    z: int
    why: str


def draw_comparison(
    folder: Path, summaries: Sequence[ScanSummary], detectors: Sequence[str]
) -> Path | None:
    """Write ``sheet.png``; nothing where there is neither a bleed nor a false finding.

    Parameters
    ----------
    summaries
        From `compare.combined`.
    detectors
        Columns; their scans are stored below ``folder``.

    Raises
    ------
    OutputFailed
        If it cannot be written.
    """
    real = [s for s in summaries if s.kind in ("reference", "visual")]
    rows = [*_bleeding(real), *_false(real, folder, detectors)]
    if not rows:
        return None
    height = _SIDE * len(rows) + _HEAD + _FOOT
    width = _SIDE * (len(detectors) + 1)
    figure = Figure(figsize=(width, height), facecolor="black")
    places = figure.subplots(len(rows), len(detectors) + 1, squeeze=False)
    bottom, top = _FOOT / height, 1 - _HEAD / height
    figure.subplots_adjust(0.004, bottom, 0.996, top, 0.03, 0.03)
    for axes, title in zip(places[0], ["original", *detectors], strict=True):
        axes.set_title(title, color="white", fontsize=10, pad=4)
    for line, row in zip(places, rows, strict=True):
        _draw_row(line, row, folder, detectors)
    figure.text(
        0.006,
        bottom / 2,
        "Level 40, width 80 HU; patient's right on the left. Heatmap 0 (clear) to 1 (yellow), the "
        f"same scale everywhere; blue: findings.\n{STATEMENT}",
        color="#bbbbbb",
        fontsize=7,
        va="center",
        wrap=True,
    )
    return save(figure, folder / "sheet.png", dpi=110)


def _bleeding(summaries: Sequence[ScanSummary]) -> list[Row]:
    """The middle bleeding slice of the first bleeding scans."""
    rows = []
    for summary in summaries:
        at = np.flatnonzero((summary.bleed == 1) & summary.counted)
        if len(at):
            rows.append(Row(summary.case, int(at[len(at) // 2]), "bleed"))
    return rows[:_BLEEDING]


def _false(summaries: Sequence[ScanSummary], folder: Path, detectors: Sequence[str]) -> list[Row]:
    """The worst false findings: each detector's worst first, no slice twice."""
    ranked: dict[str, list[tuple[float, Row]]] = {name: [] for name in detectors}
    for summary in summaries:
        for name in detectors:
            stored = store.load(folder / name / SCANS / summary.case.folder_name)
            if stored is not None:
                ranked[name] += _false_of(summary, stored, name)
    for found in ranked.values():
        found.sort(key=lambda pair: -pair[0])
    rows: list[Row] = []
    taken: set[tuple[str, int]] = set()
    for place in range(_FALSE):
        for found in ranked.values():
            free = [row for _, row in found if (row.case.name, row.z) not in taken]
            if len(found) > place and free and len(rows) < _FALSE:
                rows.append(free[0])
                taken.add((free[0].case.name, free[0].z))
    return rows


def _false_of(summary: ScanSummary, stored: Stored, detector: str) -> list[tuple[float, Row]]:
    found = []
    for number, finding in enumerate(stored.findings, start=1):
        first, last = finding.slices
        if finding.sign == "hyper" and (summary.bleed[first : last + 1] == 0).all():
            area = (stored.labels[first : last + 1] == number).sum((1, 2))
            row = Row(summary.case, first + int(area.argmax()), f"false: {detector}")
            found.append((finding.score, row))
    return found


def _draw_row(places: Sequence[Axes], row: Row, folder: Path, detectors: Sequence[str]) -> None:
    volume = read(row.case.path)
    image = canonical(volume, volume.hu[row.z]).astype(np.float32)
    spacing = volume.spacing[1:]
    kept: Mapping[str, Stored | None] = {
        name: store.load(folder / name / SCANS / row.case.folder_name) for name in detectors
    }
    brain = np.zeros(image.shape, bool)
    for stored in kept.values():
        if stored is not None:
            brain |= canonical(volume, whole_plane(stored, stored.brain, volume, row.z)) > 0
    none = np.zeros_like(brain)
    (top, left), side = field_of(Picture(image, none, none, brain, spacing))
    extent = (0, image.shape[1] * spacing[1], image.shape[0] * spacing[0], 0)
    for axes in places:
        axes.set_axis_off()
        axes.imshow(image, cmap="gray", vmin=WINDOW_HU[0], vmax=WINDOW_HU[1], extent=extent)
    for axes, stored in zip(places[1:], kept.values(), strict=True):
        if stored is None:
            continue
        heat = canonical(volume, whole_plane(stored, stored.heat, volume, row.z))
        found = canonical(volume, whole_plane(stored, stored.labels, volume, row.z)) > 0
        _overlay(axes, heat, extent)
        outline(axes, found, spacing, _FINDING, 1.1)
    for axes in places:
        axes.set(xlim=(left, left + side), ylim=(top + side, top))
    places[0].text(
        0.02,
        0.02,
        f"scan {row.case.number}, slice {row.z}\n{row.why}",
        color="white",
        fontsize=7,
        transform=places[0].transAxes,
        path_effects=[withStroke(linewidth=2.5, foreground="black")],
    )


def _overlay(
    axes: Axes, heat: npt.NDArray[np.floating], extent: tuple[float, float, float, float]
) -> None:
    """Heat over the slice, the clearer the colder."""
    shown = np.clip(heat, 0, 1)
    axes.imshow(shown, cmap="inferno", vmin=0, vmax=1, alpha=0.85 * np.sqrt(shown), extent=extent)
