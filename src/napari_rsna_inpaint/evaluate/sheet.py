"""A contact sheet of the worst errors: what a reader would complain about first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from napari_rsna_inpaint import STATEMENT
from napari_rsna_inpaint.detection.findings import EXTENT
from napari_rsna_inpaint.evaluate import store
from napari_rsna_inpaint.evaluate.cases import Case
from napari_rsna_inpaint.evaluate.plots import save
from napari_rsna_inpaint.evaluate.run import SCANS
from napari_rsna_inpaint.evaluate.store import Stored
from napari_rsna_inpaint.evaluate.subtypes import SUBTYPES
from napari_rsna_inpaint.evaluate.summary import OURS, ScanSummary, labelled
from napari_rsna_inpaint.io import read
from napari_rsna_inpaint.volume import CTVolume

#: Brain window: level 40, width 80 HU.
WINDOW_HU = (0.0, 80.0)
_COLUMNS = 4
_PER_KIND = 8
_PER_SCAN = 2
_MARGIN_MM = 14.0
_SMALLEST_MM = 120.0
_SCALE_MM = 50.0
_FOOT = 0.7  # inch
_HEAT, _FINDING = "#f5b942", "#ff4d3d"


@dataclass(frozen=True, eq=False)
class _Panel:
    """One slice to show; ``finding`` is its number, 0 for a miss; lower ``rank`` is worse."""

    case: Case
    z: int
    finding: int
    rank: float
    caption: str


@dataclass(frozen=True)
class Picture:
    """What a panel shows, all ``(y, x)`` canonical; ``spacing`` of its pixels, mm."""

    image: npt.NDArray[np.float32]
    hot: npt.NDArray[np.bool_]
    finding: npt.NDArray[np.bool_]
    brain: npt.NDArray[np.bool_]
    spacing: tuple[float, float]


def draw_sheet(folder: Path, summaries: Sequence[ScanSummary]) -> Path | None:
    """Write ``worst_errors.png``: false findings and missed slices, or nothing without either.

    The scans are named by their number in ``scans.csv``; the picture holds no identifier.

    Raises
    ------
    OutputFailed
        If it cannot be written.
    """
    false: list[_Panel] = []
    missed: list[_Panel] = []
    for summary in summaries:
        if summary.kind not in ("reference", "visual"):
            continue
        missed += _misses(summary)
        stored = store.load(folder / SCANS / summary.case.folder_name)
        if stored is not None:
            false += _false_findings(summary, stored)
    rows = [
        ("False findings, highest score first", false),
        ("Missed slices, lowest score first", missed),
    ]
    shown = [(title, sorted(panels, key=lambda p: p.rank)[:_PER_KIND]) for title, panels in rows]
    shown = [(title, panels) for title, panels in shown if panels]
    if not shown:
        return None
    return save(_figure(shown, folder), folder / "worst_errors.png", dpi=110)


def _misses(summary: ScanSummary) -> list[_Panel]:
    """Bleeding slices that no bright finding touches, the coldest of a scan first."""
    ours = summary.methods[OURS]
    at = np.flatnonzero(labelled(summary) & (summary.bleed == 1) & ~np.isfinite(ours.best))
    coldest = at[np.argsort(ours.slices[at], kind="stable")][:_PER_SCAN]
    return [
        _Panel(
            summary.case,
            int(z),
            0,
            float(ours.slices[z]),
            f"scan {summary.case.number}, slice {z}, slice score {ours.slices[z]:.2f}\n"
            + ", ".join(np.array(SUBTYPES)[summary.subtypes[z] == 1]),
        )
        for z in coldest
    ]


def _false_findings(summary: ScanSummary, stored: Stored) -> list[_Panel]:
    """Bright findings in slices that are all labelled without bleed."""
    panels = []
    for number, finding in enumerate(stored.findings, start=1):
        first, last = finding.slices
        if finding.sign != "hyper" or (summary.bleed[first : last + 1] != 0).any():
            continue
        largest = first + int((stored.labels[first : last + 1] == number).sum((1, 2)).argmax())
        panels.append(
            _Panel(
                summary.case,
                largest,
                number,
                -finding.score,
                f"scan {summary.case.number}, slice {largest}\nscore {finding.score:.2f}, "
                f"{finding.volume_ml:.1f} ml, {finding.mean_hu:.0f} HU",
            )
        )
    return panels[:_PER_SCAN]


def _figure(rows: list[tuple[str, list[_Panel]]], folder: Path) -> Figure:
    lines = [-(-len(panels) // _COLUMNS) for _, panels in rows]
    columns = min(_COLUMNS, max(len(panels) for _, panels in rows))
    heights = [3.6 * line + 0.5 for line in lines]
    figure = Figure(figsize=(3.0 * columns, sum(heights) + _FOOT), facecolor="black")
    grid = figure.subfigures(len(rows) + 1, 1, height_ratios=[*heights, _FOOT], squeeze=False)
    *parts, foot = grid[:, 0]
    for part, line, (title, panels) in zip(parts, lines, rows, strict=True):
        part.set_facecolor("black")
        part.suptitle(title, color="white", fontsize=13, x=0.02, ha="left", y=0.99)
        places = part.subplots(line, columns, squeeze=False).ravel()
        part.subplots_adjust(0.01, 0.02, 0.99, 1 - 0.85 / (3.6 * line + 0.5), 0.04, 0.2)
        for axes in places:
            axes.set_axis_off()
        pictures = _pictures(panels, folder)
        for axes, panel in zip(places, panels, strict=False):
            if panel in pictures:
                _draw(axes, panel, pictures[panel])
    foot.set_facecolor("black")
    foot.text(
        0.02,
        0.5,
        f"Level 40, width 80 HU; patient's right on the left; bar 5 cm. Yellow: heatmap above "
        f"{EXTENT:g}; red: the finding.\n{STATEMENT}",
        color="#bbbbbb",
        fontsize=8,
        va="center",
        wrap=True,
    )
    return figure


def _pictures(panels: Sequence[_Panel], folder: Path) -> dict[_Panel, Picture]:
    """Read every scan once; only what is shown stays in memory."""
    pictures = {}
    for name in {panel.case.folder_name for panel in panels}:
        stored = store.load(folder / SCANS / name)
        if stored is None:
            continue
        here = [panel for panel in panels if panel.case.folder_name == name]
        volume = read(here[0].case.path)
        for panel in here:
            heat = whole_plane(stored, stored.heat, volume, panel.z) > EXTENT
            finding = whole_plane(stored, stored.labels, volume, panel.z) == max(panel.finding, 1)
            brain = whole_plane(stored, stored.brain, volume, panel.z) > 0
            pictures[panel] = Picture(
                image=canonical(volume, volume.hu[panel.z]).astype(np.float32),
                hot=canonical(volume, heat),
                finding=canonical(volume, finding & (panel.finding > 0)),
                brain=canonical(volume, brain),
                spacing=volume.spacing[1:],
            )
    return pictures


def _draw(axes: Axes, panel: _Panel, picture: Picture) -> None:
    rows, columns = picture.image.shape
    height, width = rows * picture.spacing[0], columns * picture.spacing[1]
    axes.imshow(
        picture.image,
        cmap="gray",
        vmin=WINDOW_HU[0],
        vmax=WINDOW_HU[1],
        extent=(0, width, height, 0),
    )
    outline(axes, picture.hot, picture.spacing, _HEAT, 0.9)
    outline(axes, picture.finding, picture.spacing, _FINDING, 1.5)
    (top, left), side = field_of(picture)
    axes.set(xlim=(left, left + side), ylim=(top + side, top))
    axes.set_title(panel.caption, color="white", fontsize=9, loc="left", pad=4)
    for x, ha, mark in ((0.02, "left", "R"), (0.98, "right", "L")):
        letter = axes.text(x, 0.94, mark, color="white", fontsize=8, ha=ha)
        letter.set(transform=axes.transAxes, path_effects=[withStroke(linewidth=2.5)])
    bar = (left + 0.97 * side - _SCALE_MM, left + 0.97 * side)
    axes.plot(bar, [top + 0.98 * side] * 2, color="#999999")


def field_of(picture: Picture) -> tuple[tuple[float, float], float]:
    """Square around the brain of the slice: ``(y, x)`` of its upper left corner, side; mm."""
    # With --min-brain-cm2 0 a missed slice may show no brain at all.
    shown = picture.brain if picture.brain.any() else np.ones_like(picture.brain)
    ends = (
        np.array([np.flatnonzero(shown.any(1 - axis))[[0, -1]] + (0, 1) for axis in range(2)])
        * np.array(picture.spacing)[:, None]
    )
    side = max(float(np.ptp(ends, axis=1).max()) + 2 * _MARGIN_MM, _SMALLEST_MM)
    top, left = ends.mean(1) - side / 2
    return (float(top), float(left)), side


def outline(
    axes: Axes,
    region: npt.NDArray[np.bool_],
    spacing: tuple[float, float],
    color: str,
    width: float,
) -> None:
    """Line around a ``(y, x)`` region; ``spacing`` of its pixels, mm."""
    if region.any():
        y, x = ((np.arange(n) + 0.5) * step for n, step in zip(region.shape, spacing, strict=True))
        axes.contour(x, y, region.astype(float), [0.5], colors=color, linewidths=width)


def whole_plane(
    stored: Stored, values: npt.NDArray, volume: CTVolume, z: int
) -> npt.NDArray[np.float32]:
    """``(y, x)`` slice of cropped ``(z, y, x)`` values on the volume's grid; 0 outside."""
    plane = np.zeros(volume.hu.shape[1:], np.float32)
    plane[stored.box[1:]] = values[z]
    return plane


def canonical(volume: CTVolume, plane: npt.NDArray) -> npt.NDArray:
    """View of a ``(y, x)`` slice with posterior down and the patient's left on the right."""
    return np.flip(plane, tuple(axis - 1 for axis in volume.canonical_flips if axis > 0))
