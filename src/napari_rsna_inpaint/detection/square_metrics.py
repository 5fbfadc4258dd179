"""Measures of one square: how much the original differs from its healthy completion.

These are the measures by which the published system (RSNA_Inpainting) decides square by
square, without its three faults: there, histograms of 0-80 HU lost their first and last
bin, pixels from 80 HU upwards counted for nothing, and the start of the upper tail could
wrap to the other end of the histogram. Here values are used as they are, in HU and without
limits, so dense blood and calcification count fully.

LPIPS, which the published system mentions but does not compute, is left out: its backbone
is a large download trained on photographs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import numpy.typing as npt

from napari_rsna_inpaint.inpaint.grid import GridHole, tile_offset

FloatArray = npt.NDArray[np.floating]

#: Share of the completion that lies at or below the bin where the upper tail begins.
TAIL_QUANTILE = 0.975
#: Bins of 1 HU over which the weight of the tail rises; it starts as many below the tail.
RAMP_BINS = 5


@dataclass(frozen=True)
class SquareMetrics:
    """What was measured in one square; every value is 0 where nothing differs.

    Attributes
    ----------
    mean_difference
        Mean of the original minus mean of the completion, HU.
    earth_mover
        Earth mover's distance between both distributions of HU, HU.
    std_difference
        Standard deviation of the original minus that of the completion, HU.
    mse
        Mean squared difference, HU squared.
    histogram_difference
        Share of the pixels by which the original exceeds the completion in the upper tail
        of the completion's histogram, -1 to 1.
    """

    mean_difference: float
    earth_mover: float
    std_difference: float
    mse: float
    histogram_difference: float


@dataclass(frozen=True)
class SquareRow:
    """One square of the grid and its measures.

    Attributes
    ----------
    size
        Side in pixels.
    y, x
        Upper left corner, pixels; negative where the border of the image cuts the square.
    covered
        Share of the square that was hidden; the rest is not brain.
    metrics
        Measured over the hidden pixels.
    """

    size: int
    y: int
    x: int
    covered: float
    metrics: SquareMetrics


def square_metrics(
    original: FloatArray, completed: FloatArray, hole: npt.NDArray[np.bool_]
) -> SquareMetrics:
    """All measures of one square.

    Parameters
    ----------
    original, completed
        ``(y, x)`` HU.
    hole
        ``(y, x)`` bool, True where the completion replaces the original (hole = 1).

    Raises
    ------
    ValueError
        If the hole is empty.
    """
    if not hole.any():
        raise ValueError("the square has no hidden pixel to measure")
    before = original[hole].astype(np.float64)
    healthy = completed[hole].astype(np.float64)
    return SquareMetrics(
        mean_difference=float(before.mean() - healthy.mean()),
        earth_mover=earth_mover(before, healthy),
        std_difference=float(before.std() - healthy.std()),
        mse=float(np.square(before - healthy).mean()),
        histogram_difference=histogram_difference(before, healthy),
    )


def earth_mover(original: FloatArray, completed: FloatArray) -> float:
    """Earth mover's distance between as many values, HU.

    In one dimension the cheapest transport pairs both in sorted order.
    """
    return float(np.abs(np.sort(original) - np.sort(completed)).mean())


def histogram_difference(original: FloatArray, completed: FloatArray) -> float:
    """Excess of the original in the upper tail of the completion, as a share of the pixels.

    With histograms of bins of 1 HU, the tail begins at the bin where the cumulative
    histogram of the completion reaches `TAIL_QUANTILE`. The weight of a bin rises linearly
    from `RAMP_BINS` bins below it to 1. A weight that is a function of HU needs neither
    ends of the histogram nor indices into it.

    Parameters
    ----------
    original, completed
        As many values each, HU.
    """
    bins = np.floor(original), np.floor(completed)
    tail = np.quantile(bins[1], TAIL_QUANTILE, method="inverted_cdf")
    start = tail - RAMP_BINS
    before, healthy = (np.clip((part - start + 1) / RAMP_BINS, 0, 1) for part in bins)
    return float(before.mean() - healthy.mean())


def square_table(
    original: FloatArray,
    completions: Iterable[tuple[GridHole, FloatArray]],
    sizes: tuple[int, ...],
    offsets: tuple[tuple[float, float], ...],
    period: int,
) -> list[SquareRow]:
    """Measure every square of one slice.

    Parameters
    ----------
    original
        ``(y, x)`` HU on the model grid.
    completions
        The holes of ``grid_holes(brain, sizes, offsets, period)`` in their order, each with
        its ``(y, x)`` completion in HU. Several samples of a hole follow each other and are
        averaged.
    sizes, offsets, period
        As given to ``grid_holes``: pixels, fractions of the size, and squares.

    Returns
    -------
    One row per square that meets the brain, in the order of the holes.
    """
    rows = []
    for _, samples in groupby(completions, key=lambda pair: pair[0].number):
        holes, images = zip(*samples, strict=True)
        hole = holes[0]
        completed = np.mean(images, axis=0)
        size = sizes[hole.scale]
        offset = tile_offset(offsets[hole.number // period**2 % len(offsets)], size)
        for corner, square in _squares(hole.mask, size, offset):
            metrics = square_metrics(original, completed, square)
            covered = float(square.sum()) / size**2
            rows.append(SquareRow(size, *corner, covered, metrics))
    return rows


def _squares(
    mask: npt.NDArray[np.bool_], size: int, offset: tuple[int, int]
) -> Iterator[tuple[tuple[int, int], npt.NDArray[np.bool_]]]:
    """Upper left corner and mask of every square in a phase."""
    rows, columns = (
        (np.arange(n) - shift) // size for n, shift in zip(mask.shape, offset, strict=True)
    )
    for row in np.unique(rows[mask.any(axis=1)]):
        strip = mask & (rows == row)[:, None]
        for column in np.unique(columns[strip.any(axis=0)]):
            corner = int(row) * size + offset[0], int(column) * size + offset[1]
            yield corner, strip & (columns == column)
