"""Calibration of a model: healthy norms, the judge of candidates, thresholds; its file."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from napari_rsna_inpaint.detection.norms import Norms
from napari_rsna_inpaint.detection.rescorer import Rescorer
from napari_rsna_inpaint.errors import InputRefused, OutputFailed
from napari_rsna_inpaint.io.write import write_json

#: Version of ``calibration.json``.
SCHEMA = 3


class Calibration(BaseModel):
    """Everything between a residual and a finding.

    Attributes
    ----------
    protocol
        The one that it was measured with.
    norms, rescorer
        How unusual a pixel is, and how likely a candidate is a bleed.
    finding_heat
        A region is a finding where its heat reaches this: healthy scans have
        ``false_findings`` such regions on average.
    healthy_scan_scores
        Highest slice score of every healthy scan, increasing. Each was judged by a rescorer
        that was fitted without this scan, unless there was no other.
    n_scans, n_slices
        What the norms were fitted from.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    protocol: str
    norms: Norms
    rescorer: Rescorer
    finding_heat: float = Field(ge=0, le=1)
    false_findings: float
    healthy_scan_scores: tuple[float, ...]
    n_scans: int
    n_slices: int

    def scan_threshold(self, rate: float) -> float:
        """Scan score above which at most ``rate`` of healthy scans are flagged."""
        return conformal_threshold(self.healthy_scan_scores, rate)


def conformal_threshold(healthy: Sequence[float], rate: float) -> float:
    """Score above which at most ``rate`` of healthy scans lie, from those of some of them.

    Split conformal prediction: the ``ceil((n + 1)(1 - rate))``-th smallest of the
    ``healthy`` scores; infinite where there are too few healthy scans for the rate.
    """
    n = len(healthy)
    rank = max(1, math.ceil((n + 1) * (1 - rate)))
    return sorted(healthy)[rank - 1] if rank <= n else math.inf


CALIBRATION = "calibration.json"
#: Which other protocol's calibration serves a protocol that was not calibrated itself.
NEAREST = {"interactive": "fast", "full": "fast", "reference": "full"}


def load_calibration(folder: Path, detector: str, protocol: str) -> Calibration:
    """Calibration of a detector with a model, for a protocol or the nearest one that has any.

    Raises
    ------
    InputRefused
        If the model has not been calibrated.
    """
    try:
        stored = json.loads((folder / CALIBRATION).read_text())["detectors"][detector]
        while protocol not in stored:
            protocol = NEAREST[protocol]
        return Calibration.model_validate(stored[protocol])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputRefused(
            f"The model {folder.name!r} is not calibrated for the detector {detector!r}; run "
            f"'rsna-inpaint calibrate --detector {detector}' on healthy scans that it was not "
            "trained on."
        ) from error


def calibrated(folder: Path) -> list[tuple[str, str]]:
    """Every ``(detector, protocol)`` that a model is calibrated for."""
    try:
        stored = json.loads((folder / CALIBRATION).read_text())["detectors"]
        return [(name, protocol) for name, one in stored.items() for protocol in one]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return []


def check_writable(folder: Path) -> None:
    """Make sure that a calibration can be stored, before hours are spent on it.

    Raises
    ------
    OutputFailed
        If the folder is read-only.
    """
    if not os.access(folder, os.W_OK):
        raise OutputFailed(
            f"The model's folder {folder} is read-only; copy it and name the copy with --model."
        )


def save_calibration(folder: Path, detector: str, calibration: Calibration) -> None:
    """Add or replace the calibration of its protocol; a damaged or older file is replaced.

    Raises
    ------
    OutputFailed
        If the file cannot be written.
    """
    path = folder / CALIBRATION
    try:
        stored = json.loads(path.read_text())
        detectors = dict(stored["detectors"]) if stored["schema"] == SCHEMA else {}
    except (OSError, ValueError, KeyError, TypeError):
        detectors = {}
    one = {**detectors.get(detector, {}), calibration.protocol: calibration.model_dump(mode="json")}
    write_json(path, {"schema": SCHEMA, "detectors": {**detectors, detector: one}})
