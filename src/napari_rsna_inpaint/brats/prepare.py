"""From cases to a data set that ``rsna-inpaint train --method wavelet3d`` takes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from napari_rsna_inpaint.brats.cases import T1N, UNHEALTHY, Case, brain_of
from napari_rsna_inpaint.brats.normalise import WINDOW, Scale
from napari_rsna_inpaint.brats.work import Progress, Work, each_case, key_of
from napari_rsna_inpaint.detection.files import make_folder
from napari_rsna_inpaint.errors import InputRefused
from napari_rsna_inpaint.io.write import write_csv, write_json
from napari_rsna_inpaint.label_table import NO
from napari_rsna_inpaint.train.headers import short_hash
from napari_rsna_inpaint.train.prepare import Outcome, PreparedSeries
from napari_rsna_inpaint.train.quality import MIN_BRAIN_MM2
from napari_rsna_inpaint.train.shards import (
    INDEX,
    open_recipe,
    read_shard,
    shard_path,
    write_index,
    write_shard,
)

#: Background kept around the brain, voxels.
MARGIN = 12
#: Voxels may differ so much from those of the data set, relatively.
SAME_SIZE = 0.02
SETTINGS = "train.json"

_COLUMNS = ("name", "outcome", "reason", "patient", "slices", "usable", "slice_mm")


def prepare_cases(
    cases: Sequence[Case],
    output: Path,
    *,
    pixel_mm: float = 1.0,
    on_case: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Work:
    """Write a data set, and settings of a training on it (`SETTINGS`).

    One shard a case: what an earlier run finished is not done again. Images are on the scale of
    `Scale`; unhealthy tissue is set to 0 and is not counted as brain. ``report.csv`` has one
    line for every case.

    Raises
    ------
    InputRefused
        If no case could be prepared, or the folder holds another data set.
    Cancelled
        When ``cancelled()`` returned True; finished cases are kept.
    """
    names = hashlib.sha256("\n".join(case.name for case in cases).encode()).hexdigest()
    recipe = {"format": "brats 1", "pixel_mm": pixel_mm, "list of cases": names[:16]}
    make_folder(output)
    open_recipe(output, recipe)
    numbers = {case.name: number for number, case in enumerate(cases)}
    shards: dict[int, dict[str, Any]] = {}

    def work(case: Case) -> dict[str, Any]:
        path, key = shard_path(output, numbers[case.name]), key_of(case, pixel_mm)
        shard = read_shard(path, key)
        if shard is None:
            (output / INDEX).unlink(missing_ok=True)
            shard = write_shard(path, key, [prepare_case(case, pixel_mm)])
        shards[numbers[case.name]] = shard
        return shard["series"][0]["row"]

    result = each_case(cases, work, on_case=on_case, cancelled=cancelled)
    rows = [*result.done.values()]
    rows += [
        {"name": name, "outcome": "left out", "reason": reason} for name, reason in result.refused
    ]
    write_csv(output / "report.csv", rows, _COLUMNS)
    if not result.done:
        raise InputRefused(f"No case could be prepared: {result.refused[0][1]}")
    write_json(output / SETTINGS, training_settings(pixel_mm))
    # shards are numbered without gaps
    empty: dict[str, Any] = {"series": []}
    write_index(output, [shards.get(number, empty) for number in range(len(cases))])
    return result


def prepare_case(case: Case, pixel_mm: float) -> Outcome:
    """Read, scale and crop one case.

    Raises
    ------
    InputRefused
        If it lacks its image, or has voxels of another size.
    """
    image = case.image(T1N)
    check_voxels(image.spacing, pixel_mm)
    unhealthy = case.optional_mask(UNHEALTHY, image)
    values = np.where(unhealthy, 0, image.values)
    brain = image.to_canonical(brain_of(values, unhealthy) & ~unhealthy)
    if not brain.any():
        raise InputRefused("The image shows no brain; fetch it again.")
    scaled = Scale.of(values, ~unhealthy).to_model(values) * ~unhealthy
    inside = brain_box(brain, MARGIN)
    shown = np.rint(image.to_canonical(scaled)[inside]).astype(np.int16)
    brain = np.ascontiguousarray(brain[inside])
    usable = np.flatnonzero(brain.sum((1, 2)) * pixel_mm**2 >= MIN_BRAIN_MM2)
    patient = short_hash(case.patient)
    row = {
        "name": case.name,
        "patient": patient,
        "outcome": "prepared",
        "healthy": True,
        "slices": len(shown),
        "usable": len(usable),
        "slice_mm": round(image.spacing[0], 3),
    }
    labels = np.full(len(shown), NO, np.int8)
    return Outcome(row, PreparedSeries(case.name, shown, brain, usable, True, labels, patient))


def check_voxels(spacing: tuple[float, float, float], pixel_mm: float) -> None:
    """Refuse images whose voxels have another size in the plane than those of a model.

    Raises
    ------
    InputRefused
        If they do.
    """
    if not np.allclose(spacing[1:], pixel_mm, rtol=SAME_SIZE):
        raise InputRefused(
            f"The voxels measure {spacing[1]:.3g} x {spacing[2]:.3g} mm, not {pixel_mm:g} mm; "
            "resample the case."
        )


def brain_box(brain: np.ndarray, margin: int) -> tuple[slice, slice, slice]:
    """All sections, and the box of the brain in the plane with a margin."""
    sides = [np.flatnonzero(brain.any(axis=axes)) for axes in ((0, 2), (0, 1))]
    y, x = (slice(max(0, int(s[0]) - margin), int(s[-1]) + margin + 1) for s in sides)
    return slice(None), y, x


def training_settings(pixel_mm: float) -> dict[str, Any]:
    """Settings of ``train --method wavelet3d --config`` that suit isotropic MR."""
    low, high = WINDOW
    model = {
        "pixel_mm": pixel_mm,
        "hu_window": [low, high],
        "hu_center": (low + high) / 2,
        "hu_scale": (high - low) / 4,
        "network": {"isotropic": True},
        "block_sections": 48,
        "context_sections": 8,
    }
    return {"model": model, "shape": [176, 144], "section_mm": [pixel_mm, pixel_mm]}
