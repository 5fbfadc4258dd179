"""From folders of scans to a prepared data set: resumable, in several processes."""

from __future__ import annotations

import functools
import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_rsna_inpaint import __version__
from napari_rsna_inpaint.errors import InputRefused
from napari_rsna_inpaint.io.scan import Skipped
from napari_rsna_inpaint.io.write import write_csv
from napari_rsna_inpaint.train.headers import (
    DataFile,
    FileHeader,
    list_files,
    read_file_headers,
    short_hash,
)
from napari_rsna_inpaint.train.labels import TABLES, Labels, find_tables, read_labels
from napari_rsna_inpaint.train.prepare import MARGIN_MM, prepare_series
from napari_rsna_inpaint.train.quality import PROBLEMS
from napari_rsna_inpaint.train.shards import (
    INDEX,
    open_recipe,
    read_shard,
    shard_path,
    skipped_files,
    write_index,
    write_shard,
)
from napari_rsna_inpaint.train.sources import (
    SeriesSource,
    dicom_series,
    in_fixed_order,
    is_nifti,
    nifti_series,
    without_copies,
)
from napari_rsna_inpaint.train.workers import in_order

_COLUMNS = (
    "name",
    "outcome",
    "reason",
    "codes",
    "patient",
    "healthy",
    "files",
    "slices",
    "usable",
    "positive",
    "negative",
    *PROBLEMS,
    "doubtful",
    "slice_mm",
)

#: Called with what is being done, and how much of how much is done.
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Job:
    """What to prepare, and how.

    Attributes
    ----------
    folders
        Searched below for DICOM and NIfTI files.
    output
        Folder of the data set.
    tables
        Labels; None takes `TABLES` in and beside the folders.
    unlabelled_healthy
        Take series without any label as healthy.
    pixel_mm
        Pixel size of the model grid.
    workers
        Number of processes.
    series_per_shard
        What a kill can cost; 16 series of 34 slices are about 50 MB and, on one core, 20 s.
    """

    folders: Sequence[Path]
    output: Path
    tables: Sequence[Path] | None = None
    unlabelled_healthy: bool = False
    pixel_mm: float = 1.0
    workers: int = 1
    series_per_shard: int = 16

    @property
    def recipe(self) -> dict[str, Any]:
        """What must be the same to go on in a folder; the inputs as a hash."""
        return {
            "format": 1,
            "package version": __version__,
            "pixel_mm": self.pixel_mm,
            "margin_mm": MARGIN_MM,
            "choice of unlabelled series": self.unlabelled_healthy,
            "list of input folders": short_hash(*(f.resolve() for f in self.folders)),
        }


def build_dataset(
    job: Job, on_progress: Progress, cancelled: Callable[[], bool]
) -> list[dict[str, Any]]:
    """Prepare all series of a job; what an earlier run finished is not done again.

    Writes ``report.csv``, one line for every series and every file left out.

    Returns
    -------
    list
        The lines of the report.

    Raises
    ------
    InputRefused
        If there is nothing to prepare, or the folder holds another data set.
    Cancelled
        When `cancelled` returned True; finished shards are kept.
    """
    open_recipe(job.output, job.recipe)
    tables = find_tables(job.folders) if job.tables is None else job.tables
    sources, unread = _find(job, read_labels(tables), on_progress, cancelled)
    shards = list(_shards(job, sources, on_progress, cancelled))
    rows = [entry["row"] for shard in shards for entry in shard["series"]]
    lost = unread + [file for shard in shards for file in skipped_files(shard)]
    rows += [
        {"name": file.path, "outcome": "file left out", "reason": file.reason} for file in lost
    ]
    write_csv(job.output / "report.csv", rows, _COLUMNS)
    if not any(row["outcome"] == "prepared" for row in rows):
        raise InputRefused(
            "No series could be prepared; report.csv in the output folder tells why."
        )
    write_index(job.output, shards)
    return rows


def _find(
    job: Job, labels: Labels, on_progress: Progress, cancelled: Callable[[], bool]
) -> tuple[list[SeriesSource], list[Skipped]]:
    """All series below the folders, and the files that belong to none."""
    listed = itertools.chain.from_iterable(
        list_files(folder, without=job.output) for folder in job.folders
    )
    # folders may overlap
    files = list({f.path: f for f in listed if Path(f.path).name not in TABLES}.values())
    others = [file for file in files if not is_nifti(file.path)]
    headers = without_copies(others, _headers(others, job, on_progress, cancelled))
    choice = {"unlabelled_healthy": job.unlabelled_healthy}
    sources = nifti_series((f for f in files if is_nifti(f.path)), labels, **choice)
    sources += dicom_series(others, headers, labels, **choice)
    unread = [
        Skipped(file.name, header.problem)
        for file, header in zip(others, headers, strict=True)
        if header.problem
    ]
    return in_fixed_order(sources), unread


def _headers(
    files: Sequence[DataFile], job: Job, on_progress: Progress, cancelled: Callable[[], bool]
) -> list[FileHeader]:
    headers: list[FileHeader] = []
    for batch in read_file_headers(files, job.output / "headers", job.workers, cancelled):
        headers += batch
        on_progress("reading headers", len(headers), len(files))
    return headers


def _shards(
    job: Job,
    sources: Sequence[SeriesSource],
    on_progress: Progress,
    cancelled: Callable[[], bool],
) -> Iterator[dict[str, Any]]:
    """Metadata of every shard, finished before or now."""
    shards = [
        sources[start : start + job.series_per_shard]
        for start in range(0, len(sources), job.series_per_shard)
    ]
    keys = [short_hash(sorted(job.recipe.items()), *map(_identity, shard)) for shard in shards]
    paths = [shard_path(job.output, number) for number in range(len(shards))]
    finished = [read_shard(path, key) for path, key in zip(paths, keys, strict=True)]
    if None in finished:
        (job.output / INDEX).unlink(missing_ok=True)
    missing = itertools.chain.from_iterable(
        shard for shard, old in zip(shards, finished, strict=True) if old is None
    )
    work = functools.partial(prepare_series, pixel_mm=job.pixel_mm)
    outcomes = in_order(work, missing, job.workers, cancelled)
    total = sum(len(source.files) for source in sources)
    done = 0
    for shard, key, path, old in zip(shards, keys, paths, finished, strict=True):
        if old is not None:
            done += sum(len(source.files) for source in shard)
            on_progress("preparing", done, total)
            yield old
            continue
        made = []
        for source in shard:
            made.append(next(outcomes))
            done += len(source.files)
            on_progress("preparing", done, total)
        yield write_shard(path, key, made)


def _identity(source: SeriesSource) -> str:
    """Everything that the prepared series depends on."""
    facts = (source.name, source.key, source.patient, source.healthy)
    return repr((*facts, sorted(source.labels.items()), sorted(source.doubtful)))


def summary(rows: Sequence[dict[str, Any]]) -> str:
    """A few lines that count what was prepared, repaired and left out."""
    made = [row for row in rows if row["outcome"] == "prepared"]
    left = Counter(row["codes"] or row["reason"] for row in rows if row["outcome"] == "left out")
    lost = Counter(row["reason"] for row in rows if row["outcome"] == "file left out")
    notes = Counter(code for row in made for code in row["codes"].split())
    unused = Counter({name: sum(row[name] for row in made) for name in (*PROBLEMS, "doubtful")})
    healthy = [row for row in made if row["healthy"]]
    lines = [
        f"prepared: {_scans(made)}",
        f"of them healthy: {_scans(healthy)}",
        f"slices for context only: {_counts(unused)}",
        f"noted or repaired, series: {_counts(notes)}",
        f"series left out: {_counts(left)}",
        f"files left out: {_counts(lost)}",
    ]
    return "\n".join(lines)


def _scans(rows: Sequence[dict[str, Any]]) -> str:
    patients = len({row["patient"] for row in rows})
    slices, usable = (sum(row[name] for row in rows) for name in ("slices", "usable"))
    return f"{len(rows)} series of {patients} patients, {slices} slices ({usable} to train on)"


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counter.most_common() if count) or "none"
