"""The files of a result folder, on the input's own grid."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_rsna_inpaint.detection.identity import pixel_sha256
from napari_rsna_inpaint.detection.result import Detection, Finding, Maps, Square
from napari_rsna_inpaint.errors import InputRefused, OutputFailed
from napari_rsna_inpaint.io.nifti import nearest_axes, read_voxels
from napari_rsna_inpaint.io.write import nifti_affine, write_csv, write_json, write_nifti
from napari_rsna_inpaint.volume import CTVolume

if TYPE_CHECKING:
    # It loads torch, which a window that opens must not wait for.
    from napari_rsna_inpaint.detection.region import Reinpainting

RUN = "run.json"
#: Name of the file of every image.
_FILES = {
    "brain_mask": "brain_mask.nii.gz",
    "inpainted": "inpainted.nii.gz",
    "residual": "residual.nii.gz",
    "heatmap": "heatmap.nii.gz",
    "labels": "findings.nii.gz",
    "minimum_distance": "minimum_distance.nii.gz",
}


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
    """Write images, findings, slice scores, squares and provenance of one detection.

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
    for name, file in _FILES.items():
        write_nifti(folder / file, getattr(detection.maps, name), volume)
    findings = {
        "schema": 1,
        "statement": detection.run["statement"],
        "input": detection.run["input"],
        "findings": [finding.to_json() for finding in detection.findings],
        "further": [finding.to_json() for finding in detection.further],
    }
    write_json(folder / "findings.json", findings)
    measured = [column.name for column in fields(Square)]
    write_csv(folder / "squares.csv", map(asdict, detection.squares), measured)
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


def load_detection(folder: Path, volume: CTVolume | None = None) -> Detection:
    """Read back what `write_detection` wrote; the images are arrays.

    Parameters
    ----------
    folder
        Of the result.
    volume
        The scan it was made from. Without it nothing tells whose result it is, and the axes
        are put in the order in which a NIfTI file is read.

    Raises
    ------
    InputRefused
        If the folder holds no complete result, or that of another scan.
    """
    try:
        for file in _FILES.values():
            (folder / file).stat()
        run = json.loads((folder / RUN).read_text())
        if volume is not None and run["input"]["pixel_sha256"] != pixel_sha256(volume):
            raise InputRefused(
                f"The result in {folder} belongs to another scan; open the scan it was made from."
            )
        listed = json.loads((folder / "findings.json").read_text())
        slices = _read_rows(folder / "slices.csv")
        squares = _read_rows(folder / "squares.csv")
        return Detection(
            maps=Maps(**{name: _read_map(folder / file, volume) for name, file in _FILES.items()}),
            findings=[_finding(entry) for entry in listed["findings"]],
            slice_scores=np.array([float(row["score"]) for row in slices], np.float32),
            done=np.array([row["finished"] == "1" for row in slices]),
            run=run,
            further=[_finding(entry) for entry in listed["further"]],
            squares=[_square(row) for row in squares],
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputRefused(
            f"There is no complete result of this version in {folder}; run 'rsna-inpaint detect' "
            "again."
        ) from error


def _read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def _finding(entry: dict[str, Any]) -> Finding:
    tuples = {name: tuple(entry[name]) for name in ("slices", "centroid_mm", "bbox")}
    return Finding(**{**entry, **tuples})


def _square(row: dict[str, str]) -> Square:
    # older results have fewer measures
    known = (row[column.name] for column in fields(Square) if column.name in row)
    first, last, *measured = known
    return Square(int(first), int(last), *map(float, measured))


def _read_map(path: Path, volume: CTVolume | None) -> npt.NDArray[Any]:
    """An image ``(z, y, x)``; bool where it is a brain mask."""
    if volume is not None:
        values = _read_like(path, volume, f"The image {path.name}")
    else:
        stored, affine = read_voxels(path)
        values = stored.transpose(nearest_axes(affine))
    values = np.ascontiguousarray(values)
    return values != 0 if path.name == _FILES["brain_mask"] else values


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
    return _read_like(path, volume, f"The region {path.name}") != 0


def _read_like(path: Path, volume: CTVolume, what: str) -> npt.NDArray[Any]:
    """Values ``(z, y, x)`` on the grid of a volume."""
    stored, affine = read_voxels(path)
    axes = volume.storage_axes
    same_shape = stored.shape == tuple(volume.hu.shape[axis] for axis in axes)
    if not same_shape or not np.allclose(affine, nifti_affine(volume), atol=1e-2):
        raise InputRefused(
            f"{what} lies on another grid than the scan; draw it on the scan or on one of its "
            "results."
        )
    return stored.transpose(np.argsort(axes))
