"""Result folders as the scans of a sweep, with labels and outlines."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_rsna_inpaint.detection.files import load_detection
from napari_rsna_inpaint.errors import InputRefused
from napari_rsna_inpaint.evaluate.cases import Case, read_cases, truth_of_slices
from napari_rsna_inpaint.io.nifti import nearest_axes, read_voxels
from napari_rsna_inpaint.sweep.subject import Subject


def load_subjects(
    folders: Sequence[Path], labels: Path | None = None, truth: Sequence[Path] = ()
) -> Iterator[Subject]:
    """Read folders one after the other.

    Parameters
    ----------
    labels
        Table as for ``evaluate``; scans that are not in it stay without labels.
    truth
        NIfTI masks of outlined bleeds, one a folder in the same order, or none at all.

    Raises
    ------
    InputRefused
        If a folder holds no complete result, the table cannot be read or knows none of its
        slices, or a mask lies on another grid.
    """
    cases = [] if labels is None else read_cases(Path(), labels)
    masks: Sequence[Path | None] = truth or [None] * len(folders)
    for folder, mask in zip(folders, masks, strict=True):
        detection = load_detection(folder)
        yield Subject(
            folder.resolve().name,
            detection,
            None if labels is None else _bleed(folder, cases, labels, detection.run),
            None if mask is None else _read_lesions(mask, folder),
        )


def _bleed(folder: Path, cases: list[Case], labels: Path, run: dict) -> npt.NDArray[np.int8]:
    """Labels of the slices, by their names, else by the name of the series and position."""
    with (folder / "slices.csv").open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    names = [row.get("sop_uid", row.get("file", "")) for row in rows]
    heights = np.array([float(row["z_mm"]) for row in rows])
    step = run["input"]["spacing_mm"][0]
    name = folder.resolve().name
    for case in cases:
        own = name in (case.name, case.folder_name, case.name.rpartition("/")[2])
        if own or not case.slices.keys().isdisjoint(names):
            truth = truth_of_slices(case, names, heights, step)
            if truth is not None:
                return truth.bleed
    raise InputRefused(
        f"{labels.name} has no label of a slice of {name}; check slice_id, or name the folder "
        "like the series."
    )


def _read_lesions(path: Path, folder: Path) -> npt.NDArray[np.bool_]:
    stored, affine = read_voxels(path)
    mask, grid = read_voxels(folder / "brain_mask.nii.gz")
    if stored.shape != mask.shape or not np.allclose(affine, grid, atol=1e-2):
        raise InputRefused(
            f"The mask {path.name} lies on another grid than the result in {folder}; draw it on "
            "the scan or on one of its results."
        )
    return stored.transpose(nearest_axes(affine)) != 0
