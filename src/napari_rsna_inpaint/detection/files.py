"""The files of a result folder, on the input's own grid."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_rsna_inpaint.detection.region import Reinpainting
from napari_rsna_inpaint.detection.result import Detection
from napari_rsna_inpaint.errors import InputRefused, OutputFailed
from napari_rsna_inpaint.io.nifti import read_voxels
from napari_rsna_inpaint.io.write import nifti_affine, write_csv, write_json, write_nifti
from napari_rsna_inpaint.volume import CTVolume

RUN = "run.json"


def make_folder(folder: Path) -> None:
    """Create the folder of a result.

    Raises
    ------
    OutputFailed
        If it cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputFailed(
            f"The folder {folder} cannot be created ({error.strerror}); name another with -o."
        ) from error


def write_detection(folder: Path, detection: Detection, volume: CTVolume) -> None:
    """Write brain mask, images, findings, slice scores and provenance of one detection.

    ``run.json`` comes last: a folder without it holds no complete result.

    Raises
    ------
    OutputFailed
        If a file cannot be written; those written before stay whole.
    """
    try:
        (folder / RUN).unlink(missing_ok=True)
    except OSError as problem:
        raise OutputFailed(
            f"{RUN} of an earlier run cannot be replaced ({problem.strerror}); name another folder."
        ) from problem
    for name in ("brain_mask", "inpainted", "residual", "heatmap"):
        write_nifti(folder / f"{name}.nii.gz", getattr(detection.maps, name), volume)
    findings = {
        "schema": 1,
        "statement": detection.run["statement"],
        "input": detection.run["input"],
        "findings": [finding.to_json() for finding in detection.findings],
    }
    write_json(folder / "findings.json", findings)
    source = "sop_uid" if volume.nifti_affine is None else "file"
    columns = ("index", "z_mm", source, "score", "finished")
    write_csv(folder / "slices.csv", _slice_rows(detection, volume, source), columns)
    write_json(folder / RUN, detection.run)


def _slice_rows(detection: Detection, volume: CTVolume, source: str) -> Iterator[dict[str, Any]]:
    """One row a slice; ``z_mm`` is the patient z (to the head) of its first voxel."""
    names = volume.slice_ids or ("",) * len(detection.done)
    for index, (z, name) in enumerate(zip(volume.positions[:, 2], names, strict=True)):
        yield {
            "index": index,
            "z_mm": round(float(z), 3),
            source: name,
            "score": round(float(detection.slice_scores[index]), 4),
            "finished": int(detection.done[index]),
        }


def write_reinpainting(folder: Path, result: Reinpainting, volume: CTVolume) -> None:
    """Write mean, spread and minimum completion distance of a region, whole grid, HU.

    Outside the completed slices the mean is the original and the others are 0.
    """
    rows = list(result.slices)
    mean = volume.hu.astype(np.float32)
    mean[rows] = result.mean
    write_nifti(folder / "mean.nii.gz", mean, volume)
    for name, values in (
        ("spread", result.spread),
        ("minimum_completion_distance", result.minimum_distance_hu),
    ):
        whole = np.zeros(volume.hu.shape, np.float32)
        whole[rows] = values
        write_nifti(folder / f"{name}.nii.gz", whole, volume)


def read_region(path: Path, volume: CTVolume) -> npt.NDArray[np.bool_]:
    """Read a region ``(z, y, x)`` drawn on the grid of a volume, True where non-zero.

    Raises
    ------
    InputRefused
        If it is no NIfTI file or lies on another grid.
    """
    stored, affine = read_voxels(path)
    axes = volume.storage_axes
    same_shape = stored.shape == tuple(volume.hu.shape[axis] for axis in axes)
    if not same_shape or not np.allclose(affine, nifti_affine(volume), atol=1e-2):
        raise InputRefused(
            f"The region {path.name} lies on another grid than the scan; draw it on the scan "
            "or on one of its results."
        )
    return stored.transpose(np.argsort(axes)) != 0
