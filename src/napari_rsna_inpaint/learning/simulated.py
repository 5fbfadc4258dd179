"""Scans with the verdicts that their labels give: what a careful reader would have said."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_rsna_inpaint.brain import brain_mask
from napari_rsna_inpaint.detection.result import Detection
from napari_rsna_inpaint.detection.run import detect
from napari_rsna_inpaint.errors import RsnaInpaintError
from napari_rsna_inpaint.evaluate.candidates import HIT_OVERLAP
from napari_rsna_inpaint.evaluate.cases import Case, slice_truth
from napari_rsna_inpaint.evaluate.synthetic import synthetic_bleed
from napari_rsna_inpaint.io import read
from napari_rsna_inpaint.io.write import write_json
from napari_rsna_inpaint.label_table import NO
from napari_rsna_inpaint.learning.features import FEATURE_VERSION, finding_features
from napari_rsna_inpaint.volume import CTVolume

Verdict = str


@dataclass(frozen=True)
class Judged:
    """A region with its simulated verdict; ``shown`` at the operating point of the model."""

    finding: dict[str, Any]
    features: list[float | None]
    verdict: Verdict
    shown: bool


@dataclass(frozen=True)
class JudgedScan:
    """A scan as it is (``bleed`` 0) or with its synthetic bleed of that number.

    ``regions`` by falling score, dark ones left out: no bleed is dark.
    """

    name: str
    patient: str
    bleed: int
    regions: list[Judged]


def judged_scans(
    cases: Sequence[Case],
    folder: Path,
    *,
    bleeds: int,
    shapes: Sequence[Path] = (),
    seed: int = 0,
    on_scan: Callable[[str], None] = lambda line: None,
    **options: Any,
) -> Iterator[JudgedScan]:
    """Detect in every scan, and in copies with synthetic bleeds of those without one.

    Parameters
    ----------
    cases
        Series with labels.
    folder
        Finished scans are kept here and not computed again.
    bleeds
        Synthetic bleeds, one at a time, in every scan without bleed.
    shapes
        Outlines for some of them, see `synthetic_bleed`.
    on_scan
        Called with a line on each finished scan.
    options
        For `detect`.
    """
    for case in cases:
        try:
            volume = read(case.path).finite()
            truth = slice_truth(case, volume)
        except RsnaInpaintError as error:
            on_scan(f"{case.name} left out: {error}")
            continue
        healthy = not (truth.bleed != NO).any()
        for number in range(1 + (bleeds if healthy else 0)):
            path = folder / f"{case.folder_name}.{number}.json"
            scan = _load(path)
            if scan is None:
                try:
                    scan = _judge(case, volume, truth.bleed, number, shapes, seed, options)
                except RsnaInpaintError as error:
                    on_scan(f"{case.name}, bleed {number}, left out: {error}")
                    continue
                write_json(path, {"feature_version": FEATURE_VERSION, "scan": asdict(scan)})
            on_scan(f"{case.name}, bleed {number}: {len(scan.regions)} regions")
            yield scan


def _judge(
    case: Case,
    volume: CTVolume,
    bleeding: npt.NDArray[np.int8],
    number: int,
    shapes: Sequence[Path],
    seed: int,
    options: dict[str, Any],
) -> JudgedScan:
    lesion = None
    if number > 0:
        # every scan its own turn of densities and subtypes
        turn = number - 1 + case.number % 2
        synthetic = synthetic_bleed(
            volume, brain_mask(volume), case.name, turn, seed=seed, shapes=shapes
        )
        volume, lesion = synthetic.volume, synthetic.mask
    detection = detect(volume, seed=seed, **options)
    features = finding_features(volume, detection)
    verdicts = simulated_verdicts(detection, lesion, bleeding)
    shown = {finding.id for finding in detection.findings}
    regions = [
        Judged(finding.to_json(), list(features[finding.id]), verdict, finding.id in shown)
        for finding, verdict in zip(
            [*detection.findings, *detection.further], verdicts, strict=True
        )
        if finding.sign == "hyper"
    ]
    regions.sort(key=lambda one: -one.finding["score"])
    return JudgedScan(case.name, case.patient, number, regions)


def simulated_verdicts(
    detection: Detection,
    lesion: npt.NDArray[np.bool_] | None,
    bleeding: npt.NDArray[np.int8],
) -> list[Verdict]:
    """One verdict for every region, those below the operating point too.

    In a scan with a synthetic bleed the outline decides: accepted with an overlap of 10 % of
    the smaller of the two. Elsewhere there are labels of slices only: what lies entirely in
    slices without bleed is rejected; a finding that reaches a bleeding slice is accepted; a
    region below the operating point that does is left open (unsure).
    """
    found = [*detection.findings, *detection.further]
    if lesion is not None:
        labels = detection.labels
        shared = np.bincount(labels[lesion], minlength=len(found) + 1)[1:]
        size = np.bincount(labels.ravel(), minlength=len(found) + 1)[1:]
        smaller = np.minimum(size, lesion.sum())
        hit = (shared > 0) & (shared >= HIT_OVERLAP * smaller)
        return ["accepted" if one else "rejected" for one in hit]
    verdicts = []
    for number, finding in enumerate(found):
        first, last = finding.slices
        if (bleeding[first : last + 1] == NO).all():
            verdicts.append("rejected")
        else:
            verdicts.append("accepted" if number < len(detection.findings) else "unsure")
    return verdicts


def _load(path: Path) -> JudgedScan | None:
    """A finished scan, or None where there is none or its features are others."""
    try:
        stored = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    if stored["feature_version"] != FEATURE_VERSION:
        return None
    scan = stored["scan"]
    return JudgedScan(**{**scan, "regions": [Judged(**region) for region in scan["regions"]]})
