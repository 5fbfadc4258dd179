"""One series: read, masked, on the model grid, judged slice by slice."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_rsna_inpaint.brain import brain_mask
from napari_rsna_inpaint.errors import RsnaInpaintError
from napari_rsna_inpaint.inpaint.resample import ModelGrid
from napari_rsna_inpaint.io import read
from napari_rsna_inpaint.io.scan import Skipped, file_source
from napari_rsna_inpaint.label_table import NO, UNKNOWN, YES
from napari_rsna_inpaint.train.quality import PROBLEMS, slice_problem
from napari_rsna_inpaint.train.sources import SeriesSource, is_nifti
from napari_rsna_inpaint.volume import CTVolume

log = logging.getLogger(__name__)

#: Context kept around the brain, mm.
MARGIN_MM = 24.0


@dataclass(frozen=True)
class PreparedSeries:
    """One series on the model grid, z to the head, y posterior, x left.

    Attributes
    ----------
    name
        Name of the series, free of patient identifiers.
    hu
        ``(z, y, x)`` int16 HU, or anything that gives such a slice for ``hu[z]`` and has a
        length.
    brain
        The same, bool.
    usable
        ``(n,)`` indices of the slices that are good enough to train on.
    healthy
        Known to show no haemorrhage.
    labels
        ``(z,)`` int8, any haemorrhage: 1 yes, 0 no, -1 unknown.
    patient
        Pseudonymous key that all series of one patient share: split by it.
    unhealthy
        ``(z, y, x)`` bool or the like: voxels of lesions whose masks are known; None where the
        data set has no such masks.
    """

    name: str
    hu: Sequence[npt.NDArray[np.int16]] | npt.NDArray[np.int16]
    brain: Sequence[npt.NDArray[np.bool_]] | npt.NDArray[np.bool_]
    usable: npt.NDArray[np.intp]
    healthy: bool
    labels: npt.NDArray[np.int8]
    patient: str
    unhealthy: Sequence[npt.NDArray[np.bool_]] | npt.NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of one series.

    Attributes
    ----------
    row
        One line of the report.
    series
        None where the series was left out.
    skipped
        Files of the series that are not in it, and why.
    """

    row: dict[str, Any]
    series: PreparedSeries | None = None
    skipped: list[Skipped] = field(default_factory=list)


def prepare_series(source: SeriesSource, pixel_mm: float) -> Outcome:
    """Read, mask and resample one series and judge its slices; never raises for its content."""
    row: dict[str, Any] = {
        "name": source.name,
        "patient": source.patient,
        "outcome": "left out",
        "healthy": source.healthy,
        "files": len(source.files),
        "slices": 0,
        "usable": 0,
    }
    try:
        volume, skipped = _read(source)
        hu, brain = to_model_grid(volume, pixel_mm)
    except RsnaInpaintError as error:
        return Outcome(row | {"codes": getattr(error, "code", ""), "reason": str(error)})
    except Exception as error:  # one odd series must not end the work on thousands
        log.info("%s left out", source.name, exc_info=True)
        kind = type(error).__name__
        return Outcome(row | {"codes": "unexpected", "reason": f"Reading failed ({kind})."})
    row["codes"] = " ".join(note.code for note in volume.notes)
    if not brain.any():
        return Outcome(row | {"reason": "No brain was found."}, skipped=skipped)
    names = _canonical_names(volume)
    labels = np.array([source.labels.get(name, UNKNOWN) for name in names], np.int8)
    problems = [
        "doubtful" if name in source.doubtful else slice_problem(plane, mask, pixel_mm)
        for name, plane, mask in zip(names, hu, brain, strict=True)
    ]
    usable = np.flatnonzero([not problem for problem in problems])
    count = Counter(problems)
    row |= {
        "outcome": "prepared",
        "slices": len(hu),
        "usable": len(usable),
        "positive": int((labels == YES).sum()),
        "negative": int((labels == NO).sum()),
        **{problem: count[problem] for problem in (*PROBLEMS, "doubtful")},
        "slice_mm": round(volume.spacing[0], 3),
    }
    series = PreparedSeries(source.name, hu, brain, usable, source.healthy, labels, source.patient)
    return Outcome(row, series, skipped)


def _read(source: SeriesSource) -> tuple[CTVolume, list[Skipped]]:
    """Read the files of one series, wherever they lie."""
    from napari_rsna_inpaint.io import dicom

    paths = [Path(file) for file in source.files]
    if is_nifti(paths[0].name):
        return read(paths[0]), []
    study = dicom.plan(file_source(path, path.name) for path in paths)
    volume, damaged = dicom.load(dicom.choose(study, None))
    return volume, [*study.skipped, *damaged]


def to_model_grid(
    volume: CTVolume, pixel_mm: float
) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.bool_]]:
    """HU and brain mask ``(z, y, x)`` on the model grid, z to the head, y posterior, x left."""
    hu = volume.to_canonical(volume.hu)
    mask = volume.to_canonical(brain_mask(volume))
    grid = ModelGrid.around(mask, volume.spacing[1:], pixel_mm, margin_mm=MARGIN_MM)
    image, brain = grid.scan_to_model(hu, mask)
    return np.rint(image).clip(-1024, 3071).astype(np.int16), brain


def _canonical_names(volume: CTVolume) -> list[str]:
    """Names of the slices from the neck to the head, without the numbers of frames."""
    order = (volume.canonical_slice(z) for z in range(len(volume.hu)))
    return [volume.slice_ids[z].partition("[")[0] for z in order]
