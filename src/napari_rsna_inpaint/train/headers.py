"""One quick look into each of very many files: to which series and patient it belongs."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from napari_rsna_inpaint.io.elements import text
from napari_rsna_inpaint.io.scan import file_source
from napari_rsna_inpaint.io.stream import (
    NotReadableError,
    looks_like_dicom,
    open_dicom,
    read_dataset,
    tolerant,
)
from napari_rsna_inpaint.io.write import write_atomic
from napari_rsna_inpaint.train.workers import in_order

_KEYWORDS = [
    "SOPInstanceUID",
    "SpecificCharacterSet",
    "PatientName",
    "PatientID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
]
#: Files of one job and of one file of the cache.
_BATCH = 2000


class DataFile(NamedTuple):
    """A file below the data folder ``root``; ``modified_ns`` as the file system says."""

    path: str
    root: str
    size: int
    modified_ns: int

    @property
    def name(self) -> str:
        """Path below the data folder, with forward slashes."""
        return os.path.relpath(self.path, self.root).replace(os.sep, "/")


class FileHeader(NamedTuple):
    """What the header of a file says, free of names.

    ``patient`` and ``series`` are keys (hashes), ``sop_uid`` may be empty; ``private`` tells
    that the path repeats the patient's name or ID; ``problem`` why the file cannot be used, or
    nothing; ``identified`` whether there is a patient ID.
    """

    patient: str = ""
    series: str = ""
    sop_uid: str = ""
    private: bool = False
    problem: str = ""
    identified: bool = True


def short_hash(*parts: object) -> str:
    """16 hexadecimal digits that stand for some values."""
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:16]


def list_files(folder: Path, *, without: Path) -> Iterator[DataFile]:
    """All regular files below a folder, in order, without hidden ones and one subfolder."""
    root = str(folder.resolve())
    for place, folders, names in os.walk(root):
        folders[:] = sorted(
            f for f in folders if f[0] != "." and os.path.join(place, f) != str(without.resolve())
        )
        for name in sorted(names):
            path = os.path.join(place, name)
            # a pipe may block for ever
            if name[0] != "." and os.path.isfile(path):
                state = os.stat(path)
                yield DataFile(path, root, state.st_size, state.st_mtime_ns)


def read_file_headers(
    files: Sequence[DataFile],
    cache: Path,
    workers: int,
    cancelled: Callable[[], bool],
) -> Iterator[list[FileHeader]]:
    """Headers of all files, batch by batch in their order.

    Parameters
    ----------
    cache
        Folder for what was read, one file a batch; a later run takes it from there where the
        files are the same.

    Raises
    ------
    Cancelled
        When `cancelled` returned True.
    """
    cache.mkdir(parents=True, exist_ok=True)
    jobs = (
        (files[start : start + _BATCH], cache / f"{start // _BATCH:05d}.json")
        for start in range(0, len(files), _BATCH)
    )
    return in_order(_read_batch, jobs, workers, cancelled)


def _read_batch(job: tuple[Sequence[DataFile], Path]) -> list[FileHeader]:
    files, stored = job
    key = short_hash(*files)
    try:
        content = json.loads(stored.read_bytes())
        if content["files"] == key:
            return [FileHeader(*row) for row in content["headers"]]
    except (OSError, ValueError, KeyError, TypeError):
        pass  # not read yet, or damaged
    headers = [_read_header(file) for file in files]
    write_atomic(stored, json.dumps({"files": key, "headers": headers}).encode())
    return headers


def _read_header(file: DataFile) -> FileHeader:
    path = Path(file.path)
    try:
        with tolerant(), open_dicom(file_source(path, file.name)) as stream:
            if not looks_like_dicom(stream):
                return FileHeader(problem="not a DICOM file")
            dataset = read_dataset(stream, stop_before_pixels=True, specific_tags=_KEYWORDS)
            patient, name, study, series, sop = (
                text(dataset, keyword)
                for keyword in (
                    "PatientID",
                    "PatientName",
                    "StudyInstanceUID",
                    "SeriesInstanceUID",
                    "SOPInstanceUID",
                )
            )
    except NotReadableError as problem:
        return FileHeader(problem=str(problem))
    except OSError:
        return FileHeader(problem="cannot be opened")
    series = series or f"in {path.parent}"
    words = f"{patient} {name}".casefold().replace("^", " ").replace("=", " ").split()
    return FileHeader(
        # Without an ID, at most the series of one study are known to be one patient's.
        patient=short_hash(patient or study or series),
        series=short_hash(patient, study, series),
        sop_uid=sop,
        private=any(len(word) > 2 and word in file.name.casefold() for word in words),
        identified=bool(patient),
    )
