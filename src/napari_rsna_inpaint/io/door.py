"""The one door for every input: a DICOM file, a folder, a zip, or a NIfTI file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from napari_rsna_inpaint.errors import InputRefused
from napari_rsna_inpaint.io import dicom
from napari_rsna_inpaint.io.scan import file_source, find_sources
from napari_rsna_inpaint.volume import CTVolume


def read(path: str | os.PathLike[str], series: str | None = None) -> CTVolume:
    """Read one CT series in Hounsfield units."""
    study = _plan(Path(path))
    return dicom.load(dicom.choose(study, series))[0]


def inspect(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Tell what an input holds without reading more than needed."""
    raise NotImplementedError


def _plan(path: Path) -> dicom.Study:
    if not path.exists():
        raise InputRefused("There is no such file or folder. Check the path.")
    if path.is_dir():
        return dicom.plan(*find_sources(path))
    return dicom.plan([file_source(path, path.name)])
