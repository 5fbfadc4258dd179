"""Uncertainty by patient: whole patients are drawn, never slices."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

#: Resamples computed at a time; bounds the memory.
_BLOCK = 100


def patient_weights(n_patients: int, n_resamples: int, seed: int) -> Array:
    """``(n_resamples, n_patients)``: how often each patient was drawn, with replacement."""
    rng = np.random.default_rng(seed)
    share = np.full(n_patients, 1 / max(n_patients, 1))
    return rng.multinomial(n_patients, share, size=n_resamples).astype(np.float64)


def resample(
    measure: Callable[[Array], Mapping[str, Array]], weights: Array
) -> tuple[dict[str, float], dict[str, Array]]:
    """Values on all patients, and on every row of `patient_weights`.

    Parameters
    ----------
    measure
        ``(b, n_patients)`` weights to named ``(b,)`` values.
    weights
        ``(n_resamples, n_patients)``.
    """
    value = {name: float(v[0]) for name, v in measure(np.ones((1, weights.shape[1]))).items()}
    blocks = [measure(weights[i : i + _BLOCK]) for i in range(0, len(weights), _BLOCK)]
    return value, {name: np.concatenate([block[name] for block in blocks]) for name in value}


def interval(value: float, resampled: Array) -> dict[str, Any]:
    """Value with its 95 % percentile interval.

    ``resamples`` counts those in which the measure exists: one without a single bleeding
    patient has no AUROC. Infinity (a target that is not reached) sorts above every number.
    """
    known = resampled[~np.isnan(resampled)]
    low = high = np.nan
    if len(known):
        low, high = np.quantile(known, (0.025, 0.975), method="nearest")
    return {"value": value, "low": float(low), "high": float(high), "resamples": len(known)}


def difference(ours: tuple[float, Array], other: tuple[float, Array]) -> dict[str, Any]:
    """Paired difference: both methods on the same patients of every resample."""
    with np.errstate(invalid="ignore"):
        return interval(ours[0] - other[0], ours[1] - other[1])
