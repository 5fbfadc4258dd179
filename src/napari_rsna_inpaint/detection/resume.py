"""Finished slices on disk, so that a stopped run can go on where it was."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from napari_rsna_inpaint.detection.base import SliceScores


class SliceStore:
    """One file a slice in a folder that belongs to one input and one set of parameters.

    Parameters
    ----------
    folder
        Created on first use.
    identity
        Everything the result depends on (input hash, model, parameters, seed). Slices of
        another identity are never taken.
    """

    def __init__(self, folder: Path, identity: dict[str, Any]) -> None:
        key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
        self._folder = folder / key

    def load(self, index: int) -> SliceScores | None:
        """The stored slice, or None where there is none or it is damaged."""
        try:
            with np.load(self._path(index)) as data:
                return SliceScores(index, **{name: data[name] for name in data.files})
        except (OSError, EOFError, TypeError, ValueError, KeyError, zipfile.BadZipFile):
            return None

    def save(self, scores: SliceScores) -> None:
        """Store a finished slice; a kill in between leaves no half file."""
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._path(scores.index)
        partial = path.with_suffix(".tmp")
        known = {
            name: values
            for name, values in vars(scores).items()
            if name != "index" and values is not None
        }
        with partial.open("wb") as file:
            np.savez(file, allow_pickle=False, **known)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)

    def _path(self, index: int) -> Path:
        return self._folder / f"slice_{index:04d}.npz"


def clear(folder: Path) -> None:
    """Remove all stored slices, once a result is complete or to start anew.

    Nothing else is touched: whatever somebody put into the folder stays.
    """
    for path in folder.glob("*/slice_*"):
        path.unlink(missing_ok=True)
    for empty in (*folder.glob("*"), folder):
        with contextlib.suppress(OSError):
            empty.rmdir()
