"""Results of cases beside the truth: a table and its means."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from napari_rsna_inpaint.brats import metrics
from napari_rsna_inpaint.brats.cases import HEALTHY, INFERENCE, T1N, VOIDED, Case
from napari_rsna_inpaint.brats.images import Image
from napari_rsna_inpaint.brats.work import Progress, Work, each_case
from napari_rsna_inpaint.errors import InputRefused, UsageError
from napari_rsna_inpaint.io.write import write_csv, write_json


def score_cases(
    cases: Sequence[Case],
    results: Sequence[Case],
    *,
    on_case: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Work:
    """Measure results in the healthy masks, where the truth is known.

    Parameters
    ----------
    cases
        With ``t1n`` and ``mask-healthy``.
    results
        With ``t1n-inference``, of the same names.

    Raises
    ------
    Cancelled
        When ``cancelled()`` returned True.
    """
    by_name = {result.name: result for result in results}

    def work(case: Case) -> dict[str, Any]:
        truth = case.image(T1N)
        mask = case.mask(HEALTHY, truth)
        if case.name not in by_name:
            raise InputRefused(f"There is no result {case.name}-{INFERENCE}.nii.gz.")
        made = by_name[case.name].image(INFERENCE)
        if not made.same_grid(truth):
            raise InputRefused("The result lies on another grid than the case; write it there.")
        values = metrics.score(made.values, truth.values, _voided(case, truth), mask)
        return {"case": case.name, "voxels": int(mask.sum()), **values}

    return each_case(cases, work, on_case=on_case, cancelled=cancelled)


def _voided(case: Case, truth: Image) -> Any:
    """The voided image, or what it would be."""
    if VOIDED in case.files:
        voided = case.image(VOIDED)
        if not voided.same_grid(truth):
            raise InputRefused("The voided image lies on another grid; fetch the case again.")
        return voided.values
    return np.where(case.hole(truth), 0, truth.values)


def check_name(path: Path) -> None:
    """Refuse an output that is neither JSON nor CSV.

    Raises
    ------
    UsageError
        If it is neither.
    """
    if path.suffix.lower() not in {".json", ".csv"}:
        raise UsageError(f"{path.name} ends with neither .json nor .csv; name such a file with -o.")


def write_scores(path: Path, work: Work) -> None:
    """Write one row a case, and in JSON the means and medians and what was refused.

    Raises
    ------
    OutputFailed
        If it cannot be written.
    """
    rows = list(work.done.values())
    if path.suffix.lower() == ".csv":
        write_csv(path, rows, ("case", "voxels", *metrics.NAMES))
        return
    content = {
        "cases": rows,
        "mean": summary(rows, np.mean),
        "median": summary(rows, np.median),
        "refused": [{"case": name, "reason": reason} for name, reason in work.refused],
    }
    write_json(path, content)


def summary(rows: Sequence[dict[str, Any]], of: Callable[..., Any]) -> dict[str, float]:
    """Every measure over the cases."""
    return {name: float(of([row[name] for row in rows])) for name in metrics.NAMES} if rows else {}
