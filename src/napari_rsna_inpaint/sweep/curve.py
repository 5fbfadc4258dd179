"""One scan at all thresholds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_rsna_inpaint.errors import Cancelled
from napari_rsna_inpaint.evaluate.candidates import Candidates, components, match
from napari_rsna_inpaint.sweep.regions import Levels
from napari_rsna_inpaint.sweep.subject import Subject

BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Against:
    """What the candidates of a scan are held against, at ``k`` thresholds.

    Attributes
    ----------
    total
        Number of regions that should be hit.
    hit
        ``(k,)`` how many of them are.
    false
        ``(k,)`` candidates that hit none.
    """

    total: int
    hit: IntArray
    false: IntArray


@dataclass(frozen=True, eq=False)
class Curve:
    """One scan at ``k`` thresholds, increasing.

    Attributes
    ----------
    name
        Of the scan.
    run
        Provenance of its result.
    bleed, counted, ill
        Labels, slices that count, and label of the scan, as in `Subject`.
    thresholds
        ``(k,)``.
    candidates
        ``(k,)`` their number.
    peaks
        ``(n,)`` highest values of all regions that are large enough; None where the regions
        change with the threshold.
    squares
        ``(k,)`` flagged squares; None for a map.
    slices
        ``(k, z)`` bool, slices with a candidate.
    lesions
        Against outlined bleeds; None without.
    pixels
        ``(k, 3)`` true and false pixels above the threshold, and those of the bleeds; None
        without outlines.
    accepted, rejected
        Against findings with this verdict; None without any.
    """

    name: str
    run: dict[str, Any]
    bleed: npt.NDArray[np.int8] | None
    counted: BoolArray
    ill: bool | None
    thresholds: npt.NDArray[np.float64]
    candidates: IntArray
    peaks: npt.NDArray[np.float64] | None
    squares: IntArray | None
    slices: BoolArray
    lesions: Against | None
    pixels: IntArray | None
    accepted: Against | None
    rejected: Against | None


def curve(
    levels: Levels,
    thresholds: npt.NDArray[np.float64],
    min_area_mm2: float,
    *,
    cancelled: Callable[[], bool] | None = None,
) -> Curve:
    """Cut one scan at increasing thresholds.

    Raises
    ------
    Cancelled
        When ``cancelled()`` returned True.
    """
    subject = levels.subject
    number, squares, slices = [], [], []
    for threshold in thresholds:
        if cancelled is not None and cancelled():
            raise Cancelled
        kept = levels.candidates(threshold, min_area_mm2)
        number.append(int(kept.sum()))
        squares.append(levels.flagged_squares(threshold))
        slices.append(levels.regions(threshold).touched[kept].any(0))
    targets = _targets(subject)
    found = _against(levels, thresholds, min_area_mm2, targets, cancelled) if targets else {}
    return Curve(
        name=subject.name,
        run=subject.detection.run,
        bleed=subject.bleed,
        counted=subject.counted,
        ill=subject.ill,
        thresholds=thresholds,
        candidates=np.array(number),
        peaks=levels.peaks(min_area_mm2),
        squares=None if levels.metric.kind == "map" else np.array(squares),
        slices=np.array(slices, bool).reshape(len(thresholds), -1),
        lesions=found.get("lesions"),
        pixels=_pixels(levels, thresholds),
        accepted=found.get("accepted"),
        rejected=found.get("rejected"),
    )


def _targets(subject: Subject) -> dict[str, tuple[npt.NDArray[np.int32], int]]:
    """Regions to be hit, ``(z, y, x)`` cropped and numbered from 1, with their number."""
    targets = {}
    if subject.lesions is not None:
        # All of them count, also what lies outside of the crop.
        lesions, n = components(subject.lesions)
        targets["lesions"] = lesions[subject.box], n
    listed = [*subject.detection.findings, *subject.detection.further]
    for verdict in ("accepted", "rejected"):
        judged = np.array([False, *(subject.verdicts.get(one.id) == verdict for one in listed)])
        if judged.any():
            number = np.where(judged, np.cumsum(judged), 0).astype(np.int32)
            labels = subject.detection.labels[subject.box]
            targets[verdict] = number[labels], int(judged.sum())
    return targets


def _against(
    levels: Levels,
    thresholds: npt.NDArray[np.float64],
    min_area_mm2: float,
    targets: dict[str, tuple[npt.NDArray[np.int32], int]],
    cancelled: Callable[[], bool] | None,
) -> dict[str, Against]:
    counts: dict[str, list[tuple[int, int]]] = {name: [] for name in targets}
    everywhere = np.ones(len(levels.values), bool)
    for threshold in thresholds:
        if cancelled is not None and cancelled():
            raise Cancelled
        labels = levels.labels(threshold, min_area_mm2)
        n = int(labels.max(initial=0))
        drawn = Candidates(labels, np.ones(n), np.ones(n, bool))
        for name, (lesions, total) in targets.items():
            hit, false = match(drawn, lesions, everywhere, total)
            counts[name].append((int(np.isfinite(hit).sum()), len(false)))
    return {
        name: Against(targets[name][1], *np.array(counts[name]).T.astype(np.int64))
        for name in targets
    }


def _pixels(levels: Levels, thresholds: npt.NDArray[np.float64]) -> IntArray | None:
    subject = levels.subject
    if subject.lesions is None:
        return None
    ill = subject.lesions[subject.box][subject.brain]
    values = levels.values[subject.brain]
    above = [
        len(part) - np.searchsorted(part, thresholds)
        for part in (np.sort(values[ill]), np.sort(values[~ill]))
    ]
    return np.stack([*above, np.full(len(thresholds), ill.sum())], 1)
