"""The re-scorer that is fitted to verdicts: the present ranking, corrected a little.

Logistic regression with the log odds of the detector's score as offset. The coefficients of
the features are drawn to 0 by a penalty: with few verdicts the ranking stays as it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, model_validator
from scipy.optimize import minimize
from scipy.special import expit

from napari_rsna_inpaint.learning.annotated import (
    REJECTED,
    Annotated,
    as_arrays,
    learnable,
    verdict_slices,
)
from napari_rsna_inpaint.learning.features import FEATURE_VERSION, FEATURES

#: Fewer slices with a verdict teach nothing: the ranking would get worse.
MIN_SLICES = 20
#: Strength of the L2 penalty on standardised coefficients; every verdict has the weight 1.
PENALTY = 10.0
#: Standardised features are clipped here: what was never seen must not extrapolate.
CLIP = 3.0
#: Studies are left out in so many parts.
FOLDS = 10

FloatArray = npt.NDArray[np.float64]
PRIOR = FEATURES.index("prior")


class TrainedOn(BaseModel):
    """What a re-scorer was fitted to.

    Attributes
    ----------
    studies, slices, accepted, rejected
        Their numbers; ``slices`` are those that bear a verdict.
    reasons
        How often each reason of a rejection was given; ``""`` where none was.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    studies: int
    slices: int
    accepted: int
    rejected: int
    reasons: dict[str, int]


class LearnedRescorer(BaseModel):
    """Corrects the score of bright regions; ``model_dump_json`` and back keep it exactly.

    Attributes
    ----------
    feature_version, features
        What it was fitted on; others are refused.
    mean, spread, coefficients
        Of every feature.
    lowest_score
        The lowest score of the detector that was judged. Regions below were never seen by a
        reader: they keep their score.
    threshold
        Corrected score from which on a region is shown: at most ``lowest_score``, and low enough
        for every accepted finding when it is scored without its own study.
    trained_on
        Numbers of verdicts, slices and studies.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    feature_version: int = FEATURE_VERSION
    features: tuple[str, ...] = FEATURES
    mean: tuple[float, ...]
    spread: tuple[float, ...]
    coefficients: tuple[float, ...]
    lowest_score: float
    threshold: float
    trained_on: TrainedOn

    @model_validator(mode="after")
    def _same_features(self) -> LearnedRescorer:
        lengths = {len(self.mean), len(self.spread), len(self.coefficients)}
        if (self.feature_version, self.features, lengths) != (
            FEATURE_VERSION,
            FEATURES,
            {len(FEATURES)},
        ):
            raise ValueError(
                f"fitted on features of version {self.feature_version}, which is not "
                f"{FEATURE_VERSION}; fit it again"
            )
        return self

    def score(self, features: npt.ArrayLike) -> FloatArray:
        """Corrected scores.

        Parameters
        ----------
        features
            ``(n, len(FEATURES))``; NaN counts nothing.

        Returns
        -------
        ``(n,)`` in 0 to 1, on the scale of the detector's score.
        """
        values = np.asarray(features, np.float64).reshape(-1, len(FEATURES))
        z = _standardise(values, np.array(self.mean), np.array(self.spread))
        return expit(values[:, PRIOR] + z @ self.coefficients)

    def shows(self, features: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Which regions, of those that were shown before, are shown still; ``(n,)``.

        Those with a lower score than any that was judged are: nothing was learned of them.
        """
        values = np.asarray(features, np.float64).reshape(-1, len(FEATURES))
        known = expit(values[:, PRIOR]) >= self.lowest_score
        return ~known | (self.score(values) >= self.threshold)


def fit(rows: Sequence[Annotated]) -> LearnedRescorer | None:
    """Fit to verdicts; their order does not matter.

    Returns
    -------
    None below `MIN_SLICES` slices with a verdict, and where nothing was accepted or nothing
    rejected.
    """
    known = learnable(rows)
    slices = verdict_slices(rows)
    features, accepted = as_arrays(known)
    if slices < MIN_SLICES or not 0 < accepted.sum() < len(accepted):
        return None
    mean, spread, coefficients = _coefficients(features, accepted)
    lowest = float(expit(features[:, PRIOR]).min())
    unseen = out_of_study(known)[accepted > 0]
    rejected = [row for row in known if row.verdict == REJECTED]
    return LearnedRescorer(
        mean=tuple(mean),
        spread=tuple(spread),
        coefficients=tuple(coefficients),
        lowest_score=lowest,
        threshold=min(lowest, float(unseen.min())),
        trained_on=TrainedOn(
            studies=len({row.study for row in known}),
            slices=slices,
            accepted=len(known) - len(rejected),
            rejected=len(rejected),
            reasons=dict(sorted(Counter(row.reason or "" for row in rejected).items())),
        ),
    )


def out_of_study(rows: Sequence[Annotated]) -> FloatArray:
    """Corrected scores ``(n,)`` of `learnable` rows, each fitted without its own study.

    The detector's score where the other studies have only one kind of verdict.
    """
    features, accepted = as_arrays(rows)
    scores = expit(features[:, PRIOR])
    for tested in study_folds(rows):
        rest = accepted[~tested]
        if 0 < rest.sum() < len(rest):
            mean, spread, coefficients = _coefficients(features[~tested], rest)
            z = _standardise(features[tested], mean, spread)
            scores[tested] = expit(features[tested, PRIOR] + z @ coefficients)
    return scores


def study_folds(rows: Sequence[Annotated]) -> list[npt.NDArray[np.bool_]]:
    """Which rows ``(n,)`` are tested together: all of a study, in at most `FOLDS` parts."""
    studies = sorted({row.study for row in rows})
    part = {study: number % FOLDS for number, study in enumerate(studies)}
    of_row = np.array([part[row.study] for row in rows], int)
    return [of_row == number for number in range(min(FOLDS, len(studies)))]


def _coefficients(
    features: FloatArray, accepted: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Mean and spread of the features, and the coefficients of the standardised ones."""
    known = np.ma.masked_invalid(features)
    # a feature that is never known, or always the same, counts nothing
    mean = known.mean(0).filled(0.0)
    spread = known.std(0).filled(1.0)
    spread[spread < 1e-6] = 1.0
    z = _standardise(features, mean, spread)
    prior = features[:, PRIOR]

    def loss(parameters: FloatArray) -> tuple[float, FloatArray]:
        score = prior + z @ parameters[1:] + parameters[0]
        penalty = PENALTY * parameters[1:]
        slope = expit(score) - accepted
        value = (np.logaddexp(0, score) - accepted * score).sum() + penalty @ parameters[1:] / 2
        return float(value), np.concatenate([[slope.sum()], z.T @ slope + penalty])

    # The intercept takes up how many bleeds a reader sees; it orders nothing and is dropped.
    best = minimize(loss, np.zeros(z.shape[1] + 1), jac=True, method="L-BFGS-B").x
    return mean, spread, best[1:]


def _standardise(features: FloatArray, mean: FloatArray, spread: FloatArray) -> FloatArray:
    return np.nan_to_num(np.clip((features - mean) / spread, -CLIP, CLIP))
