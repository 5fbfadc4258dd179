"""Find the series to train on, their patients and labels."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from napari_rsna_inpaint.label_table import NO, UNKNOWN, YES
from napari_rsna_inpaint.train.headers import DataFile, FileHeader, short_hash
from napari_rsna_inpaint.train.labels import Labels


@dataclass(frozen=True)
class SeriesSource:
    """The files of one series and what tables say of it.

    Attributes
    ----------
    name
        Path of its folder or file below the data folder; a hash where the series has no place
        of its own or the path repeats the patient's name or ID.
    key
        Hash of the files' paths, sizes and times.
    patient
        Pseudonymous key that all series of one patient share.
    files
        DICOM files, or one NIfTI file.
    labels
        Of slice names as in `CTVolume.slice_ids`, without ``[frame]``: any haemorrhage, 1 yes
        or 0 no; missing where unknown.
    doubtful
        Slice names that somebody read as other pathology or uncertain.
    healthy
        Known to show no haemorrhage.
    """

    name: str
    key: str
    patient: str
    files: tuple[str, ...]
    labels: dict[str, int]
    doubtful: frozenset[str]
    healthy: bool


def is_nifti(path: str) -> bool:
    """Whether a file is NIfTI by its name."""
    return path.casefold().endswith((".nii", ".nii.gz"))


def nifti_series(
    files: Iterable[DataFile], labels: Labels, *, unlabelled_healthy: bool
) -> list[SeriesSource]:
    """Every NIfTI file as a series; its label counts for the whole file."""
    found = []
    for file in files:
        base = os.path.basename(file.path)
        stem = base[: base.casefold().rindex(".nii")]
        label = labels.of(base, stem)
        person = labels.patients.get(base, labels.patients.get(stem))
        found.append(
            SeriesSource(
                name=file.name[: file.name.casefold().rindex(".nii")],
                key=short_hash(file),
                patient=short_hash(person or file.path),
                files=(file.path,),
                # which slices show a bleed is unknown
                labels={base: NO} if label == NO else {},
                doubtful=frozenset({base} if labels.doubtful & {base, stem} else ()),
                healthy=label == NO or (label != YES and unlabelled_healthy),
            )
        )
    return found


def dicom_series(
    files: Sequence[DataFile],
    headers: Sequence[FileHeader],
    labels: Labels,
    *,
    unlabelled_healthy: bool,
) -> list[SeriesSource]:
    """Group DICOM files by patient, study and series, wherever they lie.

    Parameters
    ----------
    files, headers
        In the same order; files with a problem are passed over.
    unlabelled_healthy
        Take series without any label as healthy.
    """
    groups: dict[str, list[int]] = defaultdict(list)
    owners: dict[str, set[str]] = defaultdict(set)
    for index, (file, header) in enumerate(zip(files, headers, strict=True)):
        if not header.problem:
            groups[header.series].append(index)
            owners[os.path.dirname(file.path)].add(header.series)
    found = []
    for series, indices in groups.items():
        members = [files[i] for i in indices]
        own_folder = len(owners[os.path.dirname(members[0].path)]) == 1
        private = any(headers[i].private for i in indices)
        names = {_slice_id(files[i], headers[i]): Path(files[i].path).stem for i in indices}
        told = {slice_id: labels.of(slice_id, stem) for slice_id, stem in names.items()}
        known = {slice_id: label for slice_id, label in told.items() if label != UNKNOWN}
        vouched = unlabelled_healthy and not known
        header = headers[indices[0]]
        person = None if header.identified else _person(labels, names)
        found.append(
            SeriesSource(
                name=series if private else _place(members, own_folder) or series,
                key=short_hash(*members),
                patient=header.patient if person is None else short_hash(person),
                files=tuple(file.path for file in members),
                labels=known,
                doubtful=frozenset(i for i, stem in names.items() if labels.doubtful & {i, stem}),
                healthy=vouched or all(label == NO for label in told.values()),
            )
        )
    return found


def _person(labels: Labels, names: dict[str, str]) -> str | None:
    """Patient of a series (file stems by slice id) as the tables have it."""
    known = (labels.patients.get(name) for pair in names.items() for name in pair)
    return next((person for person in known if person), None)


def _slice_id(file: DataFile, header: FileHeader) -> str:
    """Name of the slice as in `CTVolume.slice_ids`, without ``[frame]``."""
    return header.sop_uid or os.path.basename(file.path)


def without_copies(files: Sequence[DataFile], headers: Sequence[FileHeader]) -> list[FileHeader]:
    """The headers; slices of a series that lie in two folders count where they come first.

    Within one folder the reader judges what shares a SOP instance UID.
    """
    first: dict[tuple[str, str], str] = {}
    kept = []
    for file, header in zip(files, headers, strict=True):
        folder = os.path.dirname(file.path)
        if header.sop_uid and first.setdefault((header.series, header.sop_uid), folder) != folder:
            header = FileHeader(problem="another copy of a slice")
        kept.append(header)
    return kept


def _place(members: Sequence[DataFile], own_folder: bool) -> str:
    """Path below the data folder that names a series, or nothing."""
    folders = {file.name.rpartition("/")[0] for file in members}
    if own_folder and len(folders) == 1:
        return folders.pop() or os.path.basename(members[0].root)
    return os.path.splitext(members[0].name)[0] if len(members) == 1 else ""


def in_fixed_order(sources: Iterable[SeriesSource]) -> list[SeriesSource]:
    """Sort by name; where several share one, their keys are appended."""
    sources = list(sources)
    count = Counter(source.name for source in sources)
    unique = (replace(s, name=f"{s.name}-{s.key[:6]}") if count[s.name] > 1 else s for s in sources)
    return sorted(unique, key=lambda source: source.name)
