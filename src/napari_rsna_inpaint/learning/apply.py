"""What a re-scorer changes in a result; the result itself stays as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from napari_rsna_inpaint.detection.result import Detection, Finding
from napari_rsna_inpaint.learning.model import LearnedRescorer


@dataclass(frozen=True)
class Rescored:
    """A region with the detector's score and the corrected one, both 0 to 1."""

    id: str
    old: float
    new: float


@dataclass(frozen=True)
class Rescoring:
    """Corrected scores of a result.

    Attributes
    ----------
    scores
        Of all regions, in the order of the result.
    order
        Ids of the regions to show, by falling corrected score.
    fallen, risen
        Ids of findings that are no longer to be shown, and of regions below the operating
        point that now are; in the order of the result.
    """

    scores: tuple[Rescored, ...]
    order: tuple[str, ...]
    fallen: tuple[str, ...]
    risen: tuple[str, ...]


def rescored(
    detection: Detection, features: Mapping[str, Sequence[float]], model: LearnedRescorer
) -> Rescoring:
    """Correct the scores of a result; dark regions and those never judged keep theirs.

    Parameters
    ----------
    detection
        The result; not changed.
    features
        From `features.finding_features`, by id.
    """
    scores: list[Rescored] = []
    shown: list[Rescored] = []
    fallen, risen = [], []
    above = {finding.id for finding in detection.findings}
    for finding in (*detection.findings, *detection.further):
        judged = _judged(finding, model)
        new = float(model.score(features[finding.id])[0]) if judged else finding.score
        one = Rescored(finding.id, finding.score, new)
        scores.append(one)
        was = finding.id in above
        is_shown = new >= model.threshold if judged else was
        if is_shown:
            shown.append(one)
        if was and not is_shown:
            fallen.append(finding.id)
        elif is_shown and not was:
            risen.append(finding.id)
    shown.sort(key=lambda one: -one.new)
    return Rescoring(tuple(scores), tuple(one.id for one in shown), tuple(fallen), tuple(risen))


def _judged(finding: Finding, model: LearnedRescorer) -> bool:
    """Whether readers have judged regions like this one."""
    return finding.sign == "hyper" and finding.score >= model.lowest_score
