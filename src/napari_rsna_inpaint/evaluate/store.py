"""What an evaluation keeps of every finished scan, so that it is not computed again."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_rsna_inpaint.detection.result import Detection, Finding
from napari_rsna_inpaint.io.write import write_atomic

NAME = "detection.npz"


@dataclass(frozen=True)
class Stored:
    """A detection, as far as evaluation needs it, cropped to the brain.

    Attributes
    ----------
    box
        Where the crop lies in the volume ``(z, y, x)``; ``z`` is whole.
    brain
        ``(z, y, x)`` bool.
    heat
        ``(z, y, x)`` float16 heatmap of what is brighter than healthy; 0 elsewhere.
    labels
        ``(z, y, x)`` uint16 number of the finding.
    findings
        As in the detection.
    slice_scores
        ``(z,)`` float32.
    run
        Provenance of the detection.
    """

    box: tuple[slice, slice, slice]
    brain: npt.NDArray[np.bool_]
    heat: npt.NDArray[np.float16]
    labels: npt.NDArray[np.uint16]
    findings: list[Finding]
    slice_scores: npt.NDArray[np.float32]
    run: dict[str, Any]

    def whole_brain(self, shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
        """Brain mask on the volume's grid."""
        mask = np.zeros(shape, bool)
        mask[self.box] = self.brain
        return mask


def compact(detection: Detection) -> Stored:
    """Crop to the brain and keep the bright side of the heatmap."""
    mask = detection.brain_mask
    sides = [np.flatnonzero(mask.any(axis)) for axis in ((0, 2), (0, 1))]
    box = (slice(0, len(mask)), *(slice(int(s[0]), int(s[-1]) + 1) for s in sides))
    labels = detection.labels[box]
    # regions that are not hot enough to be findings count for nothing
    labels = np.where(labels > len(detection.findings), np.uint16(0), labels)
    # The heatmap shows dark regions where they are findings, and only there.
    dark = np.array([False, *(finding.sign == "hypo" for finding in detection.findings)])[labels]
    return Stored(
        box=(box[0], box[1], box[2]),
        brain=mask[box],
        heat=np.where(dark, 0, detection.heatmap[box]).astype(np.float16),
        labels=labels,
        findings=detection.findings,
        slice_scores=detection.slice_scores,
        run=detection.run,
    )


def save(folder: Path, stored: Stored, identity: dict[str, Any]) -> None:
    """Write one file; a crash leaves the old one or the new one.

    ``identity`` is everything that the detection depends on.

    Raises
    ------
    OutputFailed
        If it cannot be written.
    """
    about = {
        "identity": identity,
        "box": [[side.start, side.stop] for side in stored.box],
        "findings": [finding.to_json() for finding in stored.findings],
        "run": stored.run,
    }
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        brain=stored.brain,
        heat=stored.heat,
        labels=stored.labels,
        slice_scores=stored.slice_scores,
        about=np.array(json.dumps(about)),
    )
    write_atomic(folder / NAME, buffer.getvalue())


def load(folder: Path, identity: dict[str, Any] | None = None) -> Stored | None:
    """The stored detection, or None where there is none, of another identity or damaged.

    Without ``identity``, whatever is there.
    """
    try:
        with np.load(folder / NAME) as data:
            about = json.loads(str(data["about"]))
            if identity is not None and about["identity"] != identity:
                return None
            z, y, x = (slice(*side) for side in about["box"])
            return Stored(
                box=(z, y, x),
                brain=data["brain"],
                heat=data["heat"],
                labels=data["labels"],
                findings=[Finding(**finding) for finding in about["findings"]],
                slice_scores=data["slice_scores"],
                run=about["run"],
            )
    except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
        return None
