"""Many scans at all thresholds: one row a threshold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_rsna_inpaint.label_table import NO, YES
from napari_rsna_inpaint.sweep.curve import Against, Curve

#: Columns of ``sweep.csv`` and what they mean; those of which nothing is known stay empty.
COLUMNS = {
    "threshold": "regions that reach it are candidates",
    "candidates_per_scan": "mean number of candidates",
    "squares_per_scan": "mean number of squares that reach it",
    "scans_flagged": "share of the scans with a candidate",
    "slices_flagged": "share of the slices with brain that have a candidate",
    "slice_sensitivity": "share of the slices with a bleed that have a candidate",
    "slice_specificity": "share of the slices without bleed that have none",
    "scan_sensitivity": "share of the scans with a bleed that have a candidate",
    "scan_specificity": "share of the scans without bleed that have none",
    "lesion_sensitivity": "share of the outlined bleeds that a candidate hits",
    "false_per_scan": "candidates that hit no outlined bleed, per scan with outlines",
    "pixel_recall": "share of the pixels of outlined bleeds that reach the threshold",
    "pixel_precision": "share of the pixels that reach it that belong to a bleed",
    "accepted_kept": "share of the accepted findings that a candidate hits",
    "rejected_kept": "share of the rejected findings that a candidate hits",
}

Row = dict[str, float | None]


def table(curves: Sequence[Curve]) -> list[Row]:
    """One row a threshold with the keys of `COLUMNS`; None where nothing is known.

    The curves have the same thresholds.
    """
    thresholds = curves[0].thresholds
    columns: dict[str, npt.NDArray[np.float64]] = {
        "threshold": thresholds,
        "candidates_per_scan": np.mean([one.candidates for one in curves], 0),
        "squares_per_scan": _squares(curves),
        "scans_flagged": np.mean([one.candidates > 0 for one in curves], 0),
        "slices_flagged": _share([(one.slices, one.counted) for one in curves]),
        **_against_labels(curves),
        **_against_outlines(curves),
    }
    for verdict in ("accepted", "rejected"):
        held: list[Against] = [one for c in curves if (one := getattr(c, verdict)) is not None]
        columns[f"{verdict}_kept"] = _ratio(_sum(held, "hit"), sum(one.total for one in held))
    return [
        {name: _number(np.broadcast_to(columns[name], len(thresholds))[k]) for name in COLUMNS}
        for k in range(len(thresholds))
    ]


def _squares(curves: Sequence[Curve]) -> npt.NDArray[np.float64]:
    known = [one.squares for one in curves if one.squares is not None]
    return np.mean(known, 0) if known else np.array(np.nan)


def _against_labels(curves: Sequence[Curve]) -> dict[str, npt.NDArray[np.float64]]:
    labelled = [(c, c.bleed) for c in curves if c.bleed is not None]
    ill = [(c.slices, c.counted & (bleed == YES)) for c, bleed in labelled]
    clear = [(c.slices, c.counted & (bleed == NO)) for c, bleed in labelled]
    flagged = {
        state: [(c.candidates > 0)[:, None] for c in curves if c.ill is state]
        for state in (True, False)
    }
    one = np.ones(1, bool)
    return {
        "slice_sensitivity": _share(ill),
        "slice_specificity": 1 - _share(clear),
        "scan_sensitivity": _share([(part, one) for part in flagged[True]]),
        "scan_specificity": 1 - _share([(part, one) for part in flagged[False]]),
    }


def _against_outlines(curves: Sequence[Curve]) -> dict[str, npt.NDArray[np.float64]]:
    held = [one.lesions for one in curves if one.lesions is not None]
    pixels = np.sum([one.pixels for one in curves if one.pixels is not None], 0)
    true, false, ill = np.moveaxis(pixels, 1, 0) if len(held) else np.zeros(3)
    return {
        "lesion_sensitivity": _ratio(_sum(held, "hit"), sum(one.total for one in held)),
        "false_per_scan": _ratio(_sum(held, "false"), len(held)),
        "pixel_recall": _ratio(true, ill),
        "pixel_precision": _ratio(true, true + false),
    }


def _sum(held: Sequence[Against], name: str) -> npt.NDArray[np.float64]:
    return np.sum([getattr(one, name) for one in held], 0)


def _share(
    parts: Sequence[tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]],
) -> npt.NDArray[np.float64]:
    """Share of the chosen columns ``(n,)`` of all ``(k, n)`` that are True, ``(k,)``."""
    chosen = [flags[:, which] for flags, which in parts]
    return _ratio(sum(c.sum(1) for c in chosen), sum(c.shape[1] for c in chosen))


def _ratio(above: Any, below: Any) -> npt.NDArray[np.float64]:
    """Quotient, NaN where the denominator is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(below > 0, np.divide(above, below), np.nan)


def _number(value: float) -> float | None:
    return round(float(value), 6) if np.isfinite(value) else None
