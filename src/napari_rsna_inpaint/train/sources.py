"""Find the series to train on."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def find_series(folders: Iterable[Path]) -> list[Path]:
    """What to train on: every subfolder is a series; without subfolders, every scan file.

    A folder of loose files holds single slices of different patients, each given by itself.
    """
    found: list[Path] = []
    for folder in folders:
        inner = sorted(p for p in folder.iterdir() if p.is_dir())
        if inner:
            found += inner
        else:
            found += sorted(p for p in folder.iterdir() if _may_be_scan(p))
    return found


def _may_be_scan(path: Path) -> bool:
    """By name only; exported DICOM often has no extension."""
    if path.name.startswith("."):
        return False
    return path.suffix.lower() in {".dcm", "", ".nii", ".zip"} or path.name.endswith(".nii.gz")
