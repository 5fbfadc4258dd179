"""What a sweep is made with, kept in a file so that it can be repeated."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from napari_rsna_inpaint import STATEMENT
from napari_rsna_inpaint.detection.findings import MIN_AREA_MM2
from napari_rsna_inpaint.errors import InputRefused
from napari_rsna_inpaint.io.write import write_json
from napari_rsna_inpaint.sweep.metrics import METRICS

#: Version of ``sweep.json``.
SCHEMA = 1


class SweepSettings(BaseModel):
    """Metric and limits of a sweep.

    Attributes
    ----------
    metric
        One of `metrics.METRICS`.
    size_mm
        Of the squares, where the metric has any.
    min_area_mm2
        Regions that are smaller in every slice are no candidates.
    threshold
        The one that was chosen, if any; it is a row of the table besides the usual ones.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    metric: str = "heatmap"
    size_mm: float | None = Field(None, gt=0)
    min_area_mm2: float = Field(MIN_AREA_MM2, ge=0)
    threshold: float | None = None

    @field_validator("metric")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in METRICS:
            raise ValueError(f"unknown metric {name!r}")
        return name


def write_settings(path: Path, settings: SweepSettings, more: dict[str, Any] | None = None) -> None:
    """Write ``sweep.json``: settings, and what else is to be told.

    Raises
    ------
    OutputFailed
        If it cannot be written.
    """
    content = {"schema": SCHEMA, "statement": STATEMENT, "settings": settings.model_dump()}
    write_json(path, content | (more or {}))


def read_settings(path: Path) -> SweepSettings:
    """Settings of a ``sweep.json``.

    Raises
    ------
    InputRefused
        If the file cannot be read or is none.
    """
    try:
        return SweepSettings.model_validate(json.loads(path.read_text())["settings"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputRefused(
            f"{path.name} is no sweep.json of this version; check --settings."
        ) from error
