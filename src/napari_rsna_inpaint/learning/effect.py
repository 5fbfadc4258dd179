"""What learning from verdicts changes, measured on studies that were not learned from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_rsna_inpaint.evaluate.bootstrap import patient_weights
from napari_rsna_inpaint.learning.annotated import (
    Annotated,
    as_arrays,
    learnable,
    verdict_slices,
)
from napari_rsna_inpaint.learning.model import MIN_SLICES, PRIOR, fit, out_of_study, study_folds

#: Resamples of studies for the interval.
RESAMPLES = 2000
#: This share of the accepted findings, but at least one, may be lost: the lowest of all is lost
#: whenever it is the one left out.
ALLOWED_LOSS = 0.02

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Effect:
    """False findings a scan before and after, in cross-validation by study.

    Attributes
    ----------
    scans
        Studies with a verdict on a bright region; the others are not known here.
    accepted
        Accepted findings.
    before
        False findings a scan as shown to the reader.
    equal
        The same when as many accepted findings are shown as before: what the new order is
        worth. The threshold is the one that fits best, for this and the next.
    threshold_alone
        The same for a higher threshold on the detector's own score, in the old order.
    applied, kept
        False findings a scan, and accepted findings shown, where every study is judged by a
        re-scorer with its threshold that was fitted to others.
    interval
        95 % interval of ``equal - threshold_alone``, studies drawn with replacement: what the
        new order adds.
    recommended
        Whether the interval lies below 0 and hardly any accepted finding is lost.
    sentence
        All this for a person.
    """

    scans: int
    accepted: int
    before: float
    equal: float
    threshold_alone: float
    applied: float
    kept: int
    interval: tuple[float, float]
    recommended: bool
    sentence: str


def cross_validated(rows: Sequence[Annotated], seed: int = 0) -> Effect | str:
    """The effect of a re-scorer on studies that it was not fitted to.

    Returns
    -------
    The effect, or, where nothing can be fitted yet, a sentence that says why.
    """
    known = learnable(rows)
    if fit(rows) is None:
        return _too_little(rows)
    features, accepted = as_arrays(known)
    bleeds = accepted > 0
    old, new = features[:, PRIOR], out_of_study(known)
    shown = _applied(rows, known)
    studies = sorted({row.study for row in known})
    row_study = np.array([studies.index(row.study) for row in known])
    scans = len(studies)

    def at_equal(score: FloatArray, weight: FloatArray) -> float:
        """False findings a scan when every accepted one is shown; ``weight`` by row."""
        lowest = score[bleeds & (weight > 0)].min(initial=np.inf)
        return float(weight[~bleeds & (score >= lowest)].sum()) / scans

    once = np.ones(len(known))
    drawn = [weights[row_study] for weights in patient_weights(scans, RESAMPLES, seed)]
    added = [at_equal(new, weight) - at_equal(old, weight) for weight in drawn]
    low, high = (float(q) for q in np.quantile(added, (0.025, 0.975)))
    kept, n_accepted = int(shown[bleeds].sum()), int(bleeds.sum())
    before, applied = float((~bleeds).sum()) / scans, float(shown[~bleeds].sum()) / scans
    equal, alone = at_equal(new, once), at_equal(old, once)
    helps = high < 0 and n_accepted - kept <= max(1.0, ALLOWED_LOSS * n_accepted)
    return Effect(
        scans=scans,
        accepted=n_accepted,
        before=before,
        equal=equal,
        threshold_alone=alone,
        applied=applied,
        kept=kept,
        interval=(low, high),
        recommended=helps,
        sentence=(
            f"In cross-validation over {scans} scans: {before:.1f} -> {equal:.1f} false findings "
            f"a scan at unchanged sensitivity; a higher threshold alone would give {alone:.1f} "
            f"(95 % interval of the difference {low:+.1f} to {high:+.1f}). With its own "
            f"threshold: {applied:.1f}, and {kept} of {n_accepted} accepted findings kept. "
            + ("It helps." if helps else "This does not show that it helps.")
        ),
    )


def _applied(rows: Sequence[Annotated], known: list[Annotated]) -> npt.NDArray[np.bool_]:
    """Which rows are shown by a re-scorer that was fitted to all verdicts of other studies."""
    features, _ = as_arrays(known)
    shown = np.ones(len(known), bool)
    for tested in study_folds(known):
        left_out = {row.study for row, out in zip(known, tested, strict=True) if out}
        model = fit([row for row in rows if row.study not in left_out])
        if model is not None:
            shown[tested] = model.shows(features[tested])
    return shown


def _too_little(rows: Sequence[Annotated]) -> str:
    slices = verdict_slices(rows)
    if slices < MIN_SLICES:
        return (
            f"{slices} slices bear a verdict; learning starts with {MIN_SLICES}. Until then the "
            "findings stay as they are."
        )
    return (
        "Learning needs accepted and rejected findings, and so far there are only those of one "
        "kind. Until then the findings stay as they are."
    )
