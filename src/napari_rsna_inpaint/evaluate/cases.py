"""Which scans to evaluate, and what is known about their slices."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from napari_rsna_inpaint.errors import InputRefused
from napari_rsna_inpaint.evaluate.subtypes import SUBTYPES
from napari_rsna_inpaint.label_table import (
    UNKNOWN,
    VISUALLY_CLEAR,
    LabelRow,
    open_table,
    read_rows,
)
from napari_rsna_inpaint.volume import CTVolume

#: Whose word a scan's labels are: the reference, a visual reading, or nobody's.
Source = Literal["reference", "visual", "none"]


@dataclass(frozen=True)
class SliceLabel:
    """One row of the label table.

    ``bleed`` is 1, 0 or `UNKNOWN`; ``subtypes`` the same for each of `SUBTYPES`; ``z_mm`` is
    the patient position along z, NaN where not given.
    """

    bleed: int
    subtypes: tuple[int, ...]
    z_mm: float
    visual: str


@dataclass(frozen=True)
class Case:
    """One series with its labels.

    ``name`` is that of the label table, ``number`` counts from 1 and stands for it in
    pictures; ``slices`` by slice id.
    """

    number: int
    name: str
    path: Path
    patient: str
    slices: Mapping[str, SliceLabel]

    @property
    def source(self) -> Source:
        """Reference where any slice has a label; visual where a reader saw no bleed in any.

        A visual reading is not trusted to say more: series with slices that are uncertain,
        pathological or read as bleeding stay without label.
        """
        if any(label.bleed != UNKNOWN for label in self.slices.values()):
            return "reference"
        if all(label.visual in VISUALLY_CLEAR for label in self.slices.values()):
            return "visual"
        return "none"

    @property
    def folder_name(self) -> str:
        """Name of its result folder, another one for every series: ``ich/s46`` is ``ich%2Fs46``."""
        return re.sub(r"[^\w.-]|^\.", lambda found: _percent(found[0]), self.name)


@dataclass(frozen=True)
class SliceTruth:
    """Labels in the order of a volume's slices.

    ``bleed`` is ``(z,)`` 1, 0 or `UNKNOWN`; ``subtypes`` is ``(z, 5)`` in the order of
    `SUBTYPES`.
    """

    bleed: npt.NDArray[np.int8]
    subtypes: npt.NDArray[np.int8]


def read_cases(data: Path, labels: Path, series: Sequence[str] = ()) -> list[Case]:
    """Series of a label table, in its order.

    Parameters
    ----------
    data
        Folder that the ``series`` column is relative to. Without that column every row is a
        file ``slice_id.dcm`` of its own patient.
    labels
        Tab- or comma-separated, with ``slice_id`` and ``any`` (1, 0 or empty) at least;
        ``series``, ``patient_id``, ``z_mm``, ``visual_class`` and the five subtypes where
        known.
    series
        Names to restrict to, whole (``ich/s46``) or their last part (``s46``).

    Raises
    ------
    InputRefused
        If the table cannot be read or contradicts itself, or a wanted series is not in it.
    """
    with open_table(labels) as lines:
        rows = list(read_rows(lines, labels.name, ("slice_id",)))
    if not rows:
        raise InputRefused(f"The label table {labels.name} has no rows.")
    grouped: dict[str, list[LabelRow]] = {}
    for row in rows:
        grouped.setdefault(row.text("series") or row.text("slice_id"), []).append(row)
    cases = [
        _case(number, name, members, data)
        for number, (name, members) in enumerate(grouped.items(), start=1)
    ]
    wanted = [name.strip("/") for name in series]
    known = {alias for case in cases for alias in (case.name, _last(case.name))}
    for name in wanted:
        if name not in known:
            raise InputRefused(f"The series {name!r} is not in {labels.name}; check --series.")
    return [c for c in cases if not wanted or {c.name, _last(c.name)} & set(wanted)]


def slice_truth(case: Case, volume: CTVolume) -> SliceTruth:
    """Find the labels of a volume's slices: by slice id, else by their position along z.

    Raises
    ------
    InputRefused
        If no label belongs to a slice of the volume.
    """
    truth = truth_of_slices(case, volume.slice_ids, volume.positions[:, 2], volume.spacing[0])
    if truth is None:
        raise InputRefused(
            "None of the labels belongs to a slice of the series; check slice_id (the SOP "
            "instance UID) or z_mm in the label table."
        )
    return truth


def truth_of_slices(
    case: Case, slice_ids: Sequence[str], heights: npt.NDArray[np.float64], step_mm: float
) -> SliceTruth | None:
    """The same for ``(z,)`` slices with these names and patient positions along z, mm.

    None where no label belongs to any. Names may be missing.
    """
    found = {z: case.slices[name] for z, name in enumerate(slice_ids) if name in case.slices}
    found = found or _by_position(case, heights, step_mm)
    if not found:
        return None
    bleed = np.full(len(heights), UNKNOWN, np.int8)
    subtypes = np.full((len(heights), len(SUBTYPES)), UNKNOWN, np.int8)
    visual = case.source == "visual"
    for z, label in found.items():
        bleed[z] = 0 if visual else label.bleed
        subtypes[z] = 0 if visual else label.subtypes
    return SliceTruth(bleed, subtypes)


def _case(number: int, name: str, rows: list[LabelRow], data: Path) -> Case:
    slices: dict[str, SliceLabel] = {}
    patients = {row.text("patient_id") or name for row in rows}
    if len(patients) > 1:
        raise InputRefused(f"The series {name!r} has {len(patients)} patients in the label table.")
    for row in rows:
        slice_id = row.text("slice_id")
        if slice_id in slices:
            raise InputRefused(f"{row.place} names the slice {slice_id!r} again.")
        slices[slice_id] = SliceLabel(
            row.flag("any"),
            tuple(row.flag(subtype) for subtype in SUBTYPES),
            row.number("z_mm"),
            row.text("visual_class"),
        )
    return Case(number, name, _locate(data, name), patients.pop(), slices)


def _locate(data: Path, name: str) -> Path:
    """Where a series lies; also where ``data`` is its group's folder."""
    candidates = [
        data / f"{part}{suffix}"
        for part in (name, _last(name))
        for suffix in ("", ".dcm", ".nii.gz", ".nii", ".zip")
    ]
    return next((path for path in candidates if path.exists()), candidates[0])


def _percent(character: str) -> str:
    """Percent-encoded, as in URLs; ``urllib`` leaves the dot as it is."""
    return "".join(f"%{byte:02X}" for byte in character.encode())


def _last(name: str) -> str:
    return name.rpartition("/")[2]


def _by_position(
    case: Case, heights: npt.NDArray[np.float64], step_mm: float
) -> dict[int, SliceLabel]:
    """Each label to the nearest slice, at most half a slice away."""
    found = {}
    for label in case.slices.values():
        away = np.abs(heights - label.z_mm)
        if np.isfinite(label.z_mm) and away.min() <= step_mm / 2:
            found[int(away.argmin())] = label
    return found
