"""One scan, reduced to the few numbers that all measures are made of."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_rsna_inpaint.detection.heatmap import slice_score
from napari_rsna_inpaint.detection.result import HEATMAP_LIMITS
from napari_rsna_inpaint.evaluate.baselines import BASELINES, HealthyHu, baseline_maps
from napari_rsna_inpaint.evaluate.candidates import Candidates, from_findings, from_map, match
from napari_rsna_inpaint.evaluate.cases import Case, SliceTruth
from napari_rsna_inpaint.evaluate.metrics import BINS, histogram
from napari_rsna_inpaint.evaluate.store import Stored
from napari_rsna_inpaint.evaluate.truth import PixelTruth
from napari_rsna_inpaint.label_table import UNKNOWN
from napari_rsna_inpaint.volume import CTVolume

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

#: The method under test, beside the names of the baselines.
OURS = "ours"
METHODS = (*(baseline.name for baseline in BASELINES), OURS)
#: End of the scale of `metrics.histogram` for each method.
TOPS = {baseline.name: baseline.top for baseline in BASELINES} | {OURS: HEATMAP_LIMITS[1]}


def top_of(method: str) -> float:
    """End of the scale of a method; every detector has that of the heatmap."""
    return TOPS.get(method, TOPS[OURS])


@dataclass(frozen=True)
class PixelCounts:
    """Pixels inside the mask, in slices whose truth is known.

    ``positive`` and ``negative`` are `metrics.histogram` of the scores; ``lesions`` is
    ``(n_lesions, BINS)``; ``drawn`` counts pixels that are drawn and true, drawn, true.
    """

    positive: IntArray
    negative: IntArray
    lesions: npt.NDArray[np.int32]
    drawn: tuple[int, int, int]


@dataclass(frozen=True)
class MethodScores:
    """What one method says about one scan.

    Attributes
    ----------
    slices
        ``(z,)`` slice scores.
    best
        ``(z,)`` highest score of a bright candidate in each slice, or minus infinity.
    scores
        ``(n,)`` of the bright candidates.
    n_candidates
        Number of all candidates, dark ones too.
    lesions, false
        As `candidates.match` returns them; empty without truth.
    pixels
        None without outlined lesions.
    """

    slices: FloatArray
    best: FloatArray
    scores: FloatArray
    n_candidates: int
    lesions: FloatArray
    false: FloatArray
    pixels: PixelCounts | None


@dataclass(frozen=True)
class ScanSummary:
    """One scan: its truth, and what every method says.

    Attributes
    ----------
    case
        Series and patient.
    kind
        Which table it belongs to: ``"reference"``, ``"visual"``, or a kind of synthetic bleed.
    bleed, subtypes
        As in `SliceTruth`.
    counted
        ``(z,)`` bool, slices with enough brain.
    bleeding
        Of the scan: True with one positive slice, False when every counted slice is labelled
        without bleed, None otherwise.
    outlined
        Whether the truth of any slice is known by pixel.
    lesion_ml, lesion_subtypes
        Of the outlined lesions.
    methods
        By name, in the order of `METHODS`.
    seconds, evaluations
        Of the detection: time, and calls of the network for one image.
    interrupted
        Whether it was stopped and went on: then both are those of its last part only.
    """

    case: Case
    kind: str
    bleed: npt.NDArray[np.int8]
    subtypes: npt.NDArray[np.int8]
    counted: npt.NDArray[np.bool_]
    bleeding: bool | None
    outlined: bool
    lesion_ml: FloatArray
    lesion_subtypes: tuple[str, ...]
    methods: dict[str, MethodScores]
    seconds: float
    evaluations: int = 0
    interrupted: bool = False


def summarise(
    case: Case,
    kind: str,
    volume: CTVolume,
    stored: Stored,
    labels: SliceTruth,
    truth: PixelTruth | None,
    healthy_hu: HealthyHu,
    *,
    min_brain_cm2: float,
) -> ScanSummary:
    """Score one scan by all methods, inside the same mask and with the same rules."""
    pixel_mm2 = volume.spacing[1] * volume.spacing[2]
    maps = baseline_maps(volume, stored.whole_brain(volume.hu.shape), healthy_hu)
    cropped = None if truth is None else truth.lesions[stored.box]
    methods = {}
    for baseline in BASELINES:
        values = maps[baseline.name][stored.box]
        candidates = from_map(values, baseline.extent, baseline.zero, pixel_mm2)
        slices = np.array(
            [
                slice_score(plane[brain], math.sqrt(pixel_mm2))
                for plane, brain in zip(values, stored.brain, strict=True)
            ]
        )
        methods[baseline.name] = _score(
            slices, values, candidates, stored.brain, truth, cropped, baseline.top
        )
    methods[OURS] = _score(
        stored.slice_scores.astype(np.float64),
        stored.heat.astype(np.float32),
        from_findings(stored.labels, stored.findings),
        stored.brain,
        truth,
        cropped,
        TOPS[OURS],
    )
    counted = stored.brain.sum((1, 2)) * pixel_mm2 / 100 >= min_brain_cm2
    return ScanSummary(
        case=case,
        kind=kind,
        bleed=labels.bleed,
        subtypes=labels.subtypes,
        counted=counted,
        bleeding=_bleeding(labels.bleed, counted),
        outlined=truth is not None,
        lesion_ml=np.zeros(0) if truth is None else truth.volumes_ml,
        lesion_subtypes=() if truth is None else truth.subtypes,
        methods=methods,
        seconds=float(stored.run["seconds"]),
        evaluations=int(stored.run["denoiser_evaluations"]),
        interrupted=bool(stored.run.get("interrupted", False)),
    )


def _score(
    slices: FloatArray,
    values: npt.NDArray[np.float32],
    candidates: Candidates,
    brain: npt.NDArray[np.bool_],
    truth: PixelTruth | None,
    lesions: npt.NDArray[np.int32] | None,
    top: float,
) -> MethodScores:
    pixels = None
    hit = false = np.zeros(0)
    if truth is not None and lesions is not None:
        hit, false = match(candidates, lesions, truth.known, len(truth.volumes_ml))
        if len(truth.volumes_ml):
            pixels = _count(values, candidates, brain, lesions, truth, top)
    return MethodScores(
        slices=slices,
        best=candidates.best_by_slice(),
        scores=candidates.scores[candidates.bright],
        n_candidates=len(candidates.scores),
        lesions=hit,
        false=false,
        pixels=pixels,
    )


def _count(
    values: npt.NDArray[np.float32],
    candidates: Candidates,
    brain: npt.NDArray[np.bool_],
    lesions: npt.NDArray[np.int32],
    truth: PixelTruth,
    top: float,
) -> PixelCounts:
    inside = brain & truth.known[:, None, None]
    of, score, drawn = lesions[inside], values[inside], candidates.drawn()[inside]
    ill = of > 0
    per_lesion = np.zeros((len(truth.volumes_ml), BINS), np.int32)
    for k in np.unique(of[ill]):
        per_lesion[k - 1] = histogram(score[of == k], top)
    return PixelCounts(
        positive=per_lesion.sum(0),
        negative=histogram(score[~ill], top),
        lesions=per_lesion,
        drawn=(int((drawn & ill).sum()), int(drawn.sum()), int(ill.sum())),
    )


def _bleeding(bleed: npt.NDArray[np.int8], counted: npt.NDArray[np.bool_]) -> bool | None:
    if (bleed == 1).any():
        return True
    if counted.any() and (bleed[counted] == 0).all():
        return False
    return None


def scan_scores(scores: FloatArray, counted: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """Scores of a scan from its slices: the highest, and the mean of the top 3."""
    ranked = np.sort(scores[counted])[::-1]
    return float(ranked[0]), float(ranked[:3].mean())


def labelled(summary: ScanSummary) -> npt.NDArray[np.bool_]:
    """``(z,)`` slices that count: labelled, with enough brain."""
    return summary.counted & (summary.bleed != UNKNOWN)
