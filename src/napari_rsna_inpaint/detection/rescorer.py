"""How likely a candidate is a bleed: logistic regression on its features.

Fitted from candidates in healthy scans and in the same scans with synthetic bleeds; no labels
of real bleeds are used.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, model_validator
from scipy.optimize import minimize
from scipy.special import expit

from napari_rsna_inpaint.detection.candidates import FEATURES

#: Standardised features are clipped here: what was never seen must not extrapolate.
CLIP = 3.0
#: Strength of the L2 penalty, for a total weight of 1.
PENALTY = 0.006

FloatArray = npt.NDArray[np.float64]


class Rescorer(BaseModel):
    """Coefficients for the standardised features and for their squares.

    ``probability`` holds for equal numbers of bleeds and healthy look-alikes; it orders
    candidates and is no probability of disease.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    features: tuple[str, ...] = FEATURES
    mean: tuple[float, ...]
    spread: tuple[float, ...]
    linear: tuple[float, ...]
    quadratic: tuple[float, ...]
    intercept: float

    @model_validator(mode="after")
    def _one_entry_a_feature(self) -> Rescorer:
        lengths = {len(v) for v in (self.mean, self.spread, self.linear, self.quadratic)}
        if self.features != FEATURES or lengths != {len(FEATURES)}:
            raise ValueError(f"needs the features {', '.join(FEATURES)}")
        return self

    def probability(self, features: FloatArray) -> FloatArray:
        """``(n, len(FEATURES))`` features to ``(n,)`` in 0 to 1; NaN features count nothing."""
        z = _standardise(features, np.array(self.mean), np.array(self.spread))
        return expit(z @ self.linear + z**2 @ self.quadratic + self.intercept)


def _standardise(features: FloatArray, mean: FloatArray, spread: FloatArray) -> FloatArray:
    return np.nan_to_num(np.clip((features - mean) / spread, -CLIP, CLIP))


def fit_rescorer(bleeds: FloatArray, healthy: FloatArray) -> Rescorer:
    """Fit by penalised maximum likelihood; both classes weigh the same.

    Parameters
    ----------
    bleeds, healthy
        ``(n, len(FEATURES))`` features of candidates in bleeds and in healthy brain.
    """
    everything = np.ma.masked_invalid(np.concatenate([bleeds, healthy]))
    # a feature that is never known, as in single slices, counts nothing
    mean = everything.mean(0).filled(0.0)
    spread = everything.std(0).filled(1.0) + 1e-6
    z = _standardise(everything.filled(np.nan), mean, spread)
    x = np.concatenate([z, z**2], 1)
    y = np.repeat([1.0, 0.0], [len(bleeds), len(healthy)])
    weight = np.where(y > 0, 0.5 / len(bleeds), 0.5 / len(healthy))

    def loss(parameters: FloatArray) -> tuple[float, FloatArray]:
        score = x @ parameters[1:] + parameters[0]
        value = weight @ (np.logaddexp(0, score) - y * score)
        slope = weight * (expit(score) - y)
        penalty = PENALTY * parameters[1:]
        gradient = np.concatenate([[slope.sum()], x.T @ slope + 2 * penalty])
        return float(value + penalty @ parameters[1:]), gradient

    best = minimize(loss, np.zeros(x.shape[1] + 1), jac=True, method="L-BFGS-B").x
    n = len(FEATURES)
    return Rescorer(
        mean=tuple(mean),
        spread=tuple(spread),
        linear=tuple(best[1 : n + 1]),
        quadratic=tuple(best[n + 1 :]),
        intercept=float(best[0]),
    )
