"""The files of a sweep."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from napari_rsna_inpaint.io.write import write_csv
from napari_rsna_inpaint.sweep.run import Sweep
from napari_rsna_inpaint.sweep.settings import write_settings
from napari_rsna_inpaint.sweep.table import COLUMNS

TABLE = "sweep.csv"
SETTINGS = "sweep.json"


def write_sweep(folder: Path, found: Sweep) -> None:
    """Write the table, and the settings with what they were used on.

    Raises
    ------
    OutputFailed
        If a file cannot be written.
    """
    write_csv(folder / TABLE, found.rows, list(COLUMNS))
    write_settings(folder / SETTINGS, found.settings, about(found))


def about(found: Sweep) -> dict:
    """Which scans a sweep was made of and what it gave, ready for JSON."""
    return {
        "columns": COLUMNS,
        "results": [
            {
                "name": one.name,
                "pixel_sha256": one.run["input"]["pixel_sha256"],
                **{key: one.run.get(key) for key in ("model", "model_sha256", "protocol", "seed")},
            }
            for one in found.curves
        ],
        "operating_points": [asdict(point) for point in found.points],
    }
