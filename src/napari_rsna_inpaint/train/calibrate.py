"""Calibrate a detector on healthy scans, as they are and with synthetic bleeds."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_rsna_inpaint.brain import brain_mask
from napari_rsna_inpaint.detection.base import Detector
from napari_rsna_inpaint.detection.calibration import Calibration
from napari_rsna_inpaint.detection.candidates import Candidate
from napari_rsna_inpaint.detection.evidence import Evidence
from napari_rsna_inpaint.detection.findings import EXTENT, regions
from napari_rsna_inpaint.detection.heatmap import heat, slice_score
from napari_rsna_inpaint.detection.norms import Norms, fit_norms
from napari_rsna_inpaint.detection.rescorer import Rescorer, fit_rescorer
from napari_rsna_inpaint.detection.scan import Scan, section_mask
from napari_rsna_inpaint.errors import InputRefused, RsnaInpaintError
from napari_rsna_inpaint.evaluate.lesions import SUBTYPES, HuSet, insert_bleed
from napari_rsna_inpaint.io import read
from napari_rsna_inpaint.volume import CTVolume

log = logging.getLogger(__name__)

#: How often each of ``SUBTYPES`` is inserted: intraparenchymal first, epidural seldom.
SUBTYPE_SHARES = {
    "intraparenchymal": 0.35,
    "intraventricular": 0.15,
    "subarachnoid": 0.2,
    "subdural": 0.2,
    "epidural": 0.1,
}
#: Share of bleeds with the HU measured on mixed ages; the others are acute, and denser.
MIXED_AGE_SHARE = 0.6
#: A candidate with at least this part in a bleed stands for a bleed.
BLEED_PART = 0.5
#: Healthy scans shall have this many findings on average.
FALSE_FINDINGS = 0.5
#: Scans are judged by rescorers that were fitted without a part of them.
FOLDS = 5
#: Only slices with this much brain tell the usual noise.
NOISE_BRAIN_MM2 = 3000.0

Judged = Iterable[tuple[int, Evidence, list[Candidate]]]


@dataclass(frozen=True, eq=False)
class _Pair:
    """A healthy scan, and the same with bleeds (``(y, x)`` masks by slice)."""

    healthy: Scan
    bleeding: Scan | None
    bleeds: dict[int, npt.NDArray[np.bool_]]


def calibrate(
    paths: Iterable[Path],
    detector: Detector,
    *,
    bleeds: int = 3,
    known: Calibration | None = None,
    seed: int = 0,
    on_scan: Callable[[str], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Calibration:
    """Learn what a detector sees in healthy scans, and how bleeds differ from it.

    Parameters
    ----------
    paths
        One healthy scan each. Those that are refused or show no brain are left out with a line
        in the log.
    bleeds
        Synthetic bleeds inserted into a copy of every scan.
    known
        The calibration of another protocol, whose rescorer and thresholds are kept; only the
        norms are fitted, and no bleeds are inserted.
    on_scan
        Called with the name of each scan that is finished or left out.

    Raises
    ------
    InputRefused
        If no scan could be used.
    Cancelled
        When ``cancelled()`` returned True.
    """
    pairs = []
    for path in paths:
        try:
            volume = read(path).finite()
        except RsnaInpaintError as error:
            log.warning("%s left out: %s", path.name, error)
        else:
            rng = np.random.default_rng([seed, zlib.crc32(path.name.encode())])
            pair = _run(volume, detector, 0 if known else bleeds, rng, seed, cancelled)
            if pair.healthy.residuals:
                pairs.append(pair)
            else:
                log.warning("%s left out: no brain was found.", path.name)
        if on_scan is not None:
            on_scan(path.name)
    scans = [pair.healthy for pair in pairs]
    norms = _norms(scans)
    fitted = {
        "protocol": detector.protocol,
        "norms": norms,
        "n_scans": len(scans),
        "n_slices": sum(len(scan.residuals) for scan in scans),
    }
    if known is not None:
        return known.model_copy(update=fitted)
    positive = [_bleeding_candidates(pair, norms) for pair in pairs]
    negative = [[c for _, _, found in scan.judged(norms) for c in found] for scan in scans]
    peaks: list[float] = []
    scores = []
    for scan, judge in zip(scans, _judges(positive, negative), strict=True):
        # judged anew, since the maps of many scans would fill the memory
        found, score = _judge(scan, scan.judged(norms), judge)
        peaks += found
        scores.append(score)
    return Calibration(
        **fitted,
        rescorer=_fit(positive, negative),
        finding_heat=finding_heat(peaks, len(scans)),
        false_findings=FALSE_FINDINGS,
        healthy_scan_scores=tuple(sorted(scores)),
    )


def finding_heat(peaks: Sequence[float], n_scans: int) -> float:
    """Heat that as many healthy ``peaks`` reach as `FALSE_FINDINGS` a scan allow."""
    allowed = int(FALSE_FINDINGS * n_scans)
    if len(peaks) <= allowed:
        return EXTENT
    one_too_many = np.float32(sorted(peaks, reverse=True)[allowed])
    # the next number in the precision of the heat, or both would compare as equal
    return float(np.nextafter(one_too_many, np.float32(1)))


def _norms(scans: Sequence[Scan]) -> Norms:
    """Healthy norms; noise first, since the pixels are taken in relation to it."""
    noise = [
        scan.noise(z)
        for scan in scans
        for z in scan.residuals
        if scan.brain(z).sum() * scan.pixel_mm**2 >= NOISE_BRAIN_MM2
    ]
    if not noise:
        raise InputRefused("Calibration needs healthy scans with brain; none was given.")
    usual = float(np.median(noise))
    pixels = (scan.healthy_pixels(z, usual) for scan in scans for z in scan.residuals)
    return fit_norms(pixels, noise_hu=usual)


def _run(
    volume: CTVolume,
    detector: Detector,
    bleeds: int,
    rng: np.random.Generator,
    seed: int,
    cancelled: Callable[[], bool] | None,
) -> _Pair:
    mask = brain_mask(volume, cancelled=cancelled)
    healthy, _ = _residuals(volume, mask, detector, None, seed, cancelled)
    bleeding, truth = volume, np.zeros(volume.hu.shape, bool)
    for _ in range(bleeds):
        subtype = rng.choice(SUBTYPES, p=[SUBTYPE_SHARES[name] for name in SUBTYPES])
        hu_set: HuSet = "bhsd" if rng.random() < MIXED_AGE_SHARE else "acute"
        try:
            bleeding, lesion, _ = insert_bleed(bleeding, mask, rng, subtype=subtype, hu_set=hu_set)
        except InputRefused as error:
            log.info("no %s bleed inserted: %s", subtype, error)
            continue
        truth |= lesion
    if not truth.any():
        return _Pair(healthy, None, {})
    # a bleed may change where the brain is found, as in use
    return _Pair(
        healthy,
        *_residuals(
            bleeding,
            brain_mask(bleeding, cancelled=cancelled),
            detector,
            truth,
            seed,
            cancelled,
        ),
    )


def _residuals(
    volume: CTVolume,
    native_mask: npt.NDArray[np.bool_],
    detector: Detector,
    truth: npt.NDArray[np.bool_] | None,
    seed: int,
    cancelled: Callable[[], bool] | None,
) -> tuple[Scan, dict[int, npt.NDArray[np.bool_]]]:
    """Run the detector: everywhere, or on the slices in and next to the ``truth``."""
    mask = volume.to_canonical(native_mask)
    grid = detector.grid(volume, np.logical_or.reduce(mask))
    scan = Scan(volume, mask, grid, detector.pixel_mm)
    wanted, bleeds = scan.with_brain, {}
    if truth is not None:
        planes = volume.to_canonical(truth)
        near = ndimage.binary_dilation([planes[one].any() for one in scan.sections])
        wanted = [z for z in scan.with_brain if near[z]]
        bleeds = {z: section_mask(planes, scan.sections[z], grid) for z in wanted}
    for scores in detector.run(scan, indices=wanted, seed=seed, cancelled=cancelled):
        judged = scores.residual if scores.deviation is None else scores.deviation
        scan.residuals[scores.index] = judged
    return scan, bleeds


def _bleeding_candidates(pair: _Pair, norms: Norms) -> list[Candidate]:
    if pair.bleeding is None:
        return []
    return [
        candidate
        for z, _, found in pair.bleeding.judged(norms)
        for candidate in found
        if pair.bleeds[z][candidate.box][candidate.part].mean() >= BLEED_PART
    ]


def _fit(positive: Sequence[list[Candidate]], negative: Sequence[list[Candidate]]) -> Rescorer:
    bleeds = [c.features for found in positive for c in found]
    healthy = [c.features for found in negative for c in found]
    if not bleeds or not healthy:
        raise InputRefused(
            "Too few healthy scans: no synthetic bleed or no healthy candidate was found; "
            "add more scans."
        )
    return fit_rescorer(np.stack(bleeds), np.stack(healthy))


def _judges(
    positive: Sequence[list[Candidate]], negative: Sequence[list[Candidate]]
) -> list[Rescorer]:
    """For every scan a rescorer that has not seen it; with one scan only, its own."""
    n = len(positive)
    folds = min(FOLDS, n)
    if folds < 2:
        return [_fit(positive, negative)] * n
    fitted = []
    for fold in range(folds):
        rest = [k for k in range(n) if k % folds != fold]
        fitted.append(_fit([positive[k] for k in rest], [negative[k] for k in rest]))
    return [fitted[k % folds] for k in range(n)]


def _judge(scan: Scan, judged: Judged, rescorer: Rescorer) -> tuple[list[float], float]:
    """Heat peaks of the regions that may become findings, and the scan's highest score."""
    heats = {z: np.maximum(heat(e, found, rescorer), 0) for z, e, found in judged}
    score = max(slice_score(plane[scan.brain(z)], scan.pixel_mm) for z, plane in heats.items())
    order = sorted(heats)
    stack = np.zeros((order[-1] - order[0] + 1, *heats[order[0]].shape), np.float32)
    for z in order:
        stack[z - order[0]] = heats[z]
    pixel = (scan.pixel_mm, scan.pixel_mm)
    return [region.peak for region in regions(stack, EXTENT, pixel)], score
