"""The one door for every input: a DICOM file, a folder, a zip, or a NIfTI file."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_rsna_inpaint.errors import ChoiceNeeded, InputRefused
from napari_rsna_inpaint.io.scan import Skipped, file_source, find_sources
from napari_rsna_inpaint.volume import CTVolume, Note, Outcome

if TYPE_CHECKING:
    from napari_rsna_inpaint.io.dicom import Study
    from napari_rsna_inpaint.io.series import Series


def read(path: str | os.PathLike[str], series: str | None = None) -> CTVolume:
    """Read one CT series in Hounsfield units on its native grid.

    Parameters
    ----------
    path
        A DICOM file, a folder (searched below), a zip of DICOM files, or a ``.nii`` or
        ``.nii.gz`` file in Hounsfield units.
    series
        Series instance UID, or a unique beginning of one, where there are several; a part
        as ``UID#1`` where one series holds several volumes. For NIfTI, the answer to a
        question asked before (see `ChoiceNeeded.choices`).

    Returns
    -------
    CTVolume
        ``hu`` is ``(z, y, x)``; ``notes`` tell what a reader of the images should know.

    Raises
    ------
    InputRefused
        If the input cannot be used; the message names cause and remedy.
    ChoiceNeeded
        If a person must pick, or must answer for the values.
    """
    path = _existing(path)
    if _is_nifti(path):
        from napari_rsna_inpaint.io.nifti import read_nifti

        return read_nifti(path, series)
    from napari_rsna_inpaint.io import dicom

    return dicom.load(dicom.choose(_plan(path), series))[0]


def inspect(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Tell what an input holds, from headers wherever they suffice.

    Parameters
    ----------
    path
        As for `read`.

    Returns
    -------
    dict
        ``{"series": [...], "skipped": [...]}``, ready for JSON. Every series has ``uid``,
        ``outcome`` (``ok``, ``note``, ``ask`` or ``refused``: what `read` would do with it),
        ``codes``, ``messages``, ``shape`` ``[z, y, x]``, ``spacing_mm`` ``[z, y, x]``,
        ``n_slices``, ``description``, ``thickness_mm``, ``kernel`` and ``choices``. Damage
        inside the compressed pixels of one slice of many shows only when they are read.

    Raises
    ------
    InputRefused
        If the path cannot be opened, or is an archive that must not be.
    """
    path = _existing(path)
    if _is_nifti(path):
        return {"series": [_describe_nifti(path)], "skipped": []}
    study = _plan(path)
    rows = [_describe_series(series, study.skipped) for series in study.series]
    skipped = [{"path": entry.path, "reason": entry.reason} for entry in study.skipped]
    return {"series": rows, "skipped": skipped}


def _existing(path: str | os.PathLike[str]) -> Path:
    path = Path(path)
    try:
        if not path.exists():
            raise InputRefused("There is no such file or folder. Check the path.")
        if not (path.is_dir() or path.is_file()):
            raise InputRefused("The path is neither a regular file nor a folder. Choose a file.")
        if path.is_file():
            with path.open("rb"):
                pass
    except OSError:
        raise InputRefused("The path cannot be opened. Check it and its permissions.") from None
    return path


def _is_nifti(path: Path) -> bool:
    return path.is_file() and path.name.casefold().endswith((".nii", ".nii.gz"))


def _plan(path: Path) -> Study:
    from napari_rsna_inpaint.io import dicom
    from napari_rsna_inpaint.io.archive import zip_sources

    if path.is_dir():
        return dicom.plan(*find_sources(path))
    # A DICOM file may carry a zip directory in its tail, so its own mark goes first.
    with path.open("rb") as stream:
        start = stream.read(4)
    if start.startswith(b"PK") and zipfile.is_zipfile(path):
        return dicom.plan(*zip_sources(path))
    return dicom.plan([file_source(path, path.name)])


def _describe_series(series: Series, skipped: list[Skipped]) -> dict[str, Any]:
    from napari_rsna_inpaint.io import dicom

    row = _row(series.uid, series.first.description)
    row["shape"] = [len(series.slices), series.first.rows, series.first.columns]
    row["n_slices"] = len(series.slices)
    row["thickness_mm"] = series.first.thickness
    row["kernel"] = series.first.kernel
    row["choices"] = list(series.choices)
    spacing = dicom.spacing_mm(series.parts[0] if series.parts else series)
    row["spacing_mm"] = None if spacing is None else [round(step, 6) for step in spacing]
    if not dicom.needs_pixels(series):
        blocking = [series.blocked[1]] if series.blocked else []
        return row | _verdict(series.outcome, [*series.all_notes(), *blocking])
    try:
        volume, damaged = dicom.load(series)
    except (ChoiceNeeded, InputRefused) as problem:
        return row | _problem(problem)
    skipped += damaged
    return row | _summary(volume)


def _describe_nifti(path: Path) -> dict[str, Any]:
    from napari_rsna_inpaint.io.nifti import read_nifti

    row = _row(path.name, "")
    try:
        volume = read_nifti(path)
    except (ChoiceNeeded, InputRefused) as problem:
        return row | _problem(problem)
    return row | _summary(volume) | {"uid": volume.source_id}


def _row(uid: str, description: str) -> dict[str, Any]:
    return {
        "uid": uid,
        "outcome": "ok",
        "codes": [],
        "messages": [],
        "shape": None,
        "spacing_mm": None,
        "n_slices": 0,
        "description": description,
        "thickness_mm": None,
        "kernel": "",
        "choices": [],
    }


def _verdict(outcome: Outcome, notes: Sequence[Note]) -> dict[str, Any]:
    return {
        "outcome": outcome,
        "codes": [note.code for note in notes],
        "messages": [note.message for note in notes],
    }


def _problem(problem: ChoiceNeeded | InputRefused) -> dict[str, Any]:
    asks = isinstance(problem, ChoiceNeeded)
    choices = list(problem.choices) if isinstance(problem, ChoiceNeeded) else []
    note = Note(problem.code, str(problem))
    return _verdict("ask" if asks else "refused", [note]) | {"choices": choices}


def _summary(volume: CTVolume) -> dict[str, Any]:
    return _verdict("note" if volume.notes else "ok", volume.notes) | {
        "shape": list(volume.hu.shape),
        "spacing_mm": [round(step, 6) for step in volume.spacing],
        "n_slices": volume.hu.shape[0],
    }
