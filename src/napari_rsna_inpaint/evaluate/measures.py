"""From scan summaries to named measures, each for any weighting of the patients."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_rsna_inpaint.evaluate.metrics import BINS, Sweep, dice, froc, pro
from napari_rsna_inpaint.evaluate.subtypes import SUBTYPES
from napari_rsna_inpaint.evaluate.summary import ScanSummary, labelled, scan_scores, top_of

Array = npt.NDArray[np.float64]

#: False findings per scan at which FROC sensitivities are read.
FROC_RATES = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
#: Share of the bleeds that must be kept where false findings are counted.
KEPT = 0.8
#: Lesion sizes, ml: name, from, to.
SIZES = (("under_1_ml", 0.0, 1.0), ("1_to_3_ml", 1.0, 3.0), ("over_3_ml", 3.0, np.inf))

#: What each measure means; the names of measures begin like one of these keys.
DEFINITIONS = {
    "slice_auroc": "AUROC of the slice score over labelled slices with enough brain; with a "
    "subtype: slices of that subtype against all slices without bleed",
    "slice_ap": "average precision (step-wise AUPRC) of the slice score over the same slices",
    "scan_auroc_max": "AUROC of scans, bleeding or not, by the highest slice score",
    "scan_auroc_top3": "AUROC of scans by the mean of their 3 highest slice scores",
    "slices_touched": "share of the bleeding slices that a finding brighter than healthy touches",
    "scans_touched": "share of the bleeding scans with such a finding in a bleeding slice",
    "false_per_scan": "findings brighter than healthy per scan without bleed",
    "false_per_scan_all": "all findings, darker ones too, per scan without bleed",
    "false_per_scan_at_80_slices": "false findings (brighter) per scan without bleed at the score "
    "threshold that keeps 80 % of the bleeding slices touched; null: not reached",
    "false_per_scan_at_80_scans": "the same for 80 % of the bleeding scans",
    "pixel_auprc": "average precision of pixels in the mask, pooled over scans with outlined "
    "bleeds",
    "pixel_auroc": "AUROC of the same pixels",
    "pixel_ceil_dice": "Dice of the map at its single best threshold over all scans, which is "
    "chosen on the truth",
    "pixel_dice_drawn": "Dice of the findings as drawn: threshold from healthy scans, not from "
    "the truth",
    "pixel_pro": "mean per-region overlap, averaged over false positive rates 0 to 0.3",
    "mean_auprc": "pixel_auprc of each scan, averaged; mean_auroc, mean_ceil_dice and "
    "mean_dice_drawn likewise",
    "lesion_sensitivity": "share of the outlined lesions (26-connected) that a finding hits: "
    "overlap of at least 10 % of the smaller of the two; by size and subtype at 1 false finding "
    "a scan",
    "lesion_sensitivity_at": "sensitivity at that many false findings per scan (FROC); further "
    "hits of one lesion are not false",
    "lesion_froc_mean": "mean of the sensitivities at 0.125, 0.25, 0.5, 1, 2, 4 and 8",
    "lesion_false_per_scan": "false findings per scan whose truth is known, without a threshold",
    "false_per_scan_at_80_lesions": "false findings per scan at the threshold that keeps 80 % of "
    "the lesions; null: not reached",
}
_PIXEL_MEASURES = (
    *("pixel_auprc", "pixel_auroc", "pixel_ceil_dice", "pixel_dice_drawn", "pixel_pro"),
    *("mean_auprc", "mean_auroc", "mean_ceil_dice", "mean_dice_drawn"),
)


@dataclass(frozen=True)
class Items:
    """Scored items of one kind, each with the index of its patient; arrays ``(n,)``."""

    scores: Array
    patient: npt.NDArray[np.intp]

    def weights(self, patients: Array) -> Array:
        """``(b, n)`` from ``(b, n_patients)``."""
        return patients[:, self.patient]


@dataclass(frozen=True)
class Pixels:
    """Histograms of the scans with outlined bleeds.

    ``positive`` and ``negative`` are ``(n_scans, BINS)``, ``drawn`` ``(n_scans, 3)``,
    ``lesions`` ``(n_lesions, BINS)``; both with the index of the patient.
    """

    positive: Array
    negative: Array
    drawn: Array
    patient: npt.NDArray[np.intp]
    lesions: Array
    lesion_patient: npt.NDArray[np.intp]


@dataclass(frozen=True)
class PooledScores:
    """Everything that the measures of one method are made of, over many scans."""

    n_patients: int
    top: float
    slices: Items
    slice_bleeds: npt.NDArray[np.bool_]
    slice_subtypes: npt.NDArray[np.bool_]
    scans: Items
    scans_top3: Items
    scan_bleeds: npt.NDArray[np.bool_]
    touching: Items
    touching_scan: Items
    false: Items
    clear: Items
    lesions: Items
    lesion_ml: Array
    lesion_subtypes: tuple[str, ...]
    lesion_false: Items
    outlined: npt.NDArray[np.intp]
    pixels: Pixels


def gather(summaries: Iterable[ScanSummary], method: str) -> PooledScores:
    """Collect one method's scores; the order of the summaries does not matter."""
    scans = sorted(summaries, key=lambda s: (s.case.patient, s.case.name, s.kind))
    patients = sorted({s.case.patient for s in scans})
    index = {patient: k for k, patient in enumerate(patients)}
    rows = [(s, s.methods[method], index[s.case.patient]) for s in scans]
    ranked = [row for row in rows if row[0].bleeding is not None and row[0].counted.any()]
    per_scan = [(scan_scores(m.slices, s.counted), p) for s, m, p in ranked]
    clear = [row for row in rows if row[0].bleeding is False]
    outlined = [row for row in rows if row[0].outlined]
    counted = [(labelled(s), s, m, p) for s, m, p in rows]
    ill = [(c & (s.bleed == 1), m, p) for c, s, m, p in counted]
    return PooledScores(
        n_patients=len(patients),
        top=top_of(method),
        slices=_items((m.slices[c], p) for c, _, m, p in counted),
        slice_bleeds=_join([s.bleed[c] == 1 for c, s, _, _ in counted], bool),
        slice_subtypes=_join([s.subtypes[c] == 1 for c, s, _, _ in counted], bool, len(SUBTYPES)),
        scans=_items((np.array([score[0]]), p) for score, p in per_scan),
        scans_top3=_items((np.array([score[1]]), p) for score, p in per_scan),
        scan_bleeds=np.array([s.bleeding for s, _, _ in ranked], bool),
        touching=_items((m.best[at], p) for at, m, p in ill),
        touching_scan=_items((np.array([m.best[at].max()]), p) for at, m, p in ill if at.any()),
        false=_items((m.scores, p) for _, m, p in clear),
        clear=_items((np.array([float(m.n_candidates)]), p) for _, m, p in clear),
        lesions=_items((m.lesions, p) for _, m, p in outlined),
        lesion_ml=_join([s.lesion_ml for s, _, _ in outlined], np.float64),
        lesion_subtypes=tuple(name for s, _, _ in outlined for name in s.lesion_subtypes),
        lesion_false=_items((m.false, p) for _, m, p in outlined),
        outlined=np.array([p for _, _, p in outlined], np.intp),
        pixels=_pixels([(m.pixels, p) for _, m, p in outlined]),
    )


def measure(pooled: PooledScores, patients: Array) -> dict[str, Array]:
    """All measures for each weighting of the patients.

    Parameters
    ----------
    pooled
        Of one method.
    patients
        ``(b, n_patients)`` weights; ones for the plain value.

    Returns
    -------
    dict
        ``(b,)`` values by name, NaN where one does not exist (no bleed, no outline), infinity
        where a target is not reached. `DEFINITIONS` says what they mean.
    """
    return {
        **_by_label(pooled, patients),
        **_by_touch(pooled, patients),
        **_by_pixel(pooled, patients),
        **_by_lesion(pooled, patients),
    }


def slice_sweep(pooled: PooledScores) -> Sweep:
    """All labelled slices, for curves."""
    return Sweep.of(pooled.slices.scores, pooled.slice_bleeds)


def touch_sweep(pooled: PooledScores) -> Sweep:
    """Bleeding slices touched against false findings per scan without bleed."""
    return froc(pooled.touching.scores, pooled.false.scores, len(pooled.clear.scores))


def lesion_sweep(pooled: PooledScores) -> Sweep:
    """FROC of outlined lesions."""
    return froc(pooled.lesions.scores, pooled.lesion_false.scores, len(pooled.outlined))


def _by_label(e: PooledScores, patients: Array) -> dict[str, Array]:
    weights = e.slices.weights(patients)
    sweep = Sweep.of(e.slices.scores, e.slice_bleeds, weights)
    found = {"slice_auroc": sweep.auroc(), "slice_ap": sweep.average_precision()}
    for k, subtype in enumerate(SUBTYPES):
        kept = ~e.slice_bleeds | e.slice_subtypes[:, k]
        part = Sweep.of(e.slices.scores[kept], e.slice_bleeds[kept], weights[:, kept])
        found[f"slice_auroc_{subtype}"] = part.auroc()
    for name, scans in (("max", e.scans), ("top3", e.scans_top3)):
        sweep = Sweep.of(scans.scores, e.scan_bleeds, scans.weights(patients))
        found[f"scan_auroc_{name}"] = sweep.auroc()
    return found


def _by_touch(e: PooledScores, patients: Array) -> dict[str, Array]:
    clear = e.clear.weights(patients)
    n_clear = clear.sum(1)
    found = {
        "slices_touched": _share(np.isfinite(e.touching.scores), e.touching.weights(patients)),
        "scans_touched": _share(
            np.isfinite(e.touching_scan.scores), e.touching_scan.weights(patients)
        ),
        "false_per_scan": _quotient(e.false.weights(patients).sum(1), n_clear),
        "false_per_scan_all": _share(e.clear.scores, clear),
    }
    for name, items in (("slices", e.touching), ("scans", e.touching_scan)):
        found[f"false_per_scan_at_80_{name}"] = _false_keeping(items, e.false, n_clear, patients)
    return found


def _by_pixel(e: PooledScores, patients: Array) -> dict[str, Array]:
    p = e.pixels
    if not len(p.patient):
        return dict.fromkeys(_PIXEL_MEASURES, np.full(len(patients), np.nan))
    weights = patients[:, p.patient]
    sweep = Sweep.of_histograms(weights @ p.positive, weights @ p.negative, e.top)
    drawn = weights @ p.drawn
    regions = patients[:, p.lesion_patient]
    sizes = np.maximum(p.lesions.sum(1, keepdims=True), 1)
    overlap = np.cumsum((regions @ (p.lesions / sizes))[:, ::-1], 1)
    overlap = _quotient(overlap, regions[:, p.lesions.any(1)].sum(1)[:, None])
    found = {
        "pixel_auprc": sweep.average_precision(),
        "pixel_auroc": sweep.auroc(),
        "pixel_ceil_dice": sweep.ceil_dice(),
        "pixel_dice_drawn": dice(drawn[:, 0], drawn[:, 1], drawn[:, 2]),
        "pixel_pro": np.where(
            sweep.positives > 0, pro(overlap, sweep.false, sweep.negatives), np.nan
        ),
    }
    each = Sweep.of_histograms(p.positive, p.negative, e.top)
    for name, values in (
        ("auprc", each.average_precision()),
        ("auroc", each.auroc()),
        ("ceil_dice", each.ceil_dice()),
        ("dice_drawn", dice(p.drawn[:, 0], p.drawn[:, 1], p.drawn[:, 2])),
    ):
        known = np.isfinite(values)
        found[f"mean_{name}"] = _share(values[known], weights[:, known])
    return found


def _by_lesion(e: PooledScores, patients: Array) -> dict[str, Array]:
    lesions, false = e.lesions.weights(patients), e.lesion_false.weights(patients)
    n_scans = patients[:, e.outlined].sum(1)
    sweep = froc(e.lesions.scores, e.lesion_false.scores, n_scans, lesions, false)
    hit = np.isfinite(e.lesions.scores)
    found = {"lesion_sensitivity": _share(hit, lesions)}
    at = {rate: sweep.sensitivity_at(rate) for rate in FROC_RATES}
    found |= {f"lesion_sensitivity_at_{rate:g}": values for rate, values in at.items()}
    found["lesion_froc_mean"] = np.mean(list(at.values()), axis=0)
    found["lesion_false_per_scan"] = _quotient(false.sum(1), n_scans)
    found["false_per_scan_at_80_lesions"] = _false_keeping(
        e.lesions, e.lesion_false, n_scans, patients
    )
    reached = e.lesions.scores >= sweep.threshold_at(1.0)[:, None]
    for name, low, high in SIZES:
        part = (e.lesion_ml >= low) & (e.lesion_ml < high)
        found[f"lesion_sensitivity_{name}"] = _share(reached[:, part], lesions[:, part])
    for name in (*SUBTYPES, "mixed"):
        part = np.array([subtype == name for subtype in e.lesion_subtypes], bool)
        found[f"lesion_sensitivity_{name}"] = _share(reached[:, part], lesions[:, part])
    return found


def _false_keeping(kept: Items, false: Items, n_scans: Array, patients: Array) -> Array:
    """False findings per scan at the threshold that keeps `KEPT` of the items."""
    order = np.argsort(-kept.scores, kind="stable")
    gained = np.cumsum(kept.weights(patients)[:, order], 1)
    if not len(order):
        return np.full(len(patients), np.nan)
    needed = KEPT * gained[:, -1:] * (1 - 1e-9)
    threshold = kept.scores[order][(gained >= needed).argmax(1)]
    n_false = ((false.scores >= threshold[:, None]) * false.weights(patients)).sum(1)
    rate = _quotient(np.where(np.isfinite(threshold), n_false, np.inf), n_scans)
    return np.where(gained[:, -1] > 0, rate, np.nan)


def _pixels(counts: Sequence[tuple]) -> Pixels:
    known = [(pixels, patient) for pixels, patient in counts if pixels is not None]
    return Pixels(
        positive=_join([p.positive[None] for p, _ in known], np.float64, BINS),
        negative=_join([p.negative[None] for p, _ in known], np.float64, BINS),
        drawn=_join([np.array(p.drawn)[None] for p, _ in known], np.float64, 3),
        patient=np.array([patient for _, patient in known], np.intp),
        lesions=_join([p.lesions for p, _ in known], np.float64, BINS),
        lesion_patient=_join([np.full(len(p.lesions), k) for p, k in known], np.intp),
    )


def _items(parts: Iterable[tuple[Array, int]]) -> Items:
    listed = list(parts)
    return Items(
        _join([scores for scores, _ in listed], np.float64),
        _join([np.full(len(scores), patient) for scores, patient in listed], np.intp),
    )


def _join(parts: Sequence[npt.NDArray], dtype: npt.DTypeLike, *width: int) -> npt.NDArray:
    empty = np.zeros((0, *width), dtype)
    return np.concatenate([empty, *parts]).astype(dtype)


def _share(values: npt.NDArray, weights: Array) -> Array:
    return _quotient((weights * values).sum(-1), weights.sum(-1))


def _quotient(above: Array, below: Array) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(below > 0, above / below, np.nan)
