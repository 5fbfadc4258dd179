"""Small results of which every candidate is known."""

from __future__ import annotations

import numpy as np

from napari_rsna_inpaint.detection.findings import find
from napari_rsna_inpaint.detection.result import Detection, Maps, Square
from napari_rsna_inpaint.volume import CTVolume

SHAPE = (6, 60, 50)
#: A blob: (z, y, x) slices and its heat.
Blob = tuple[tuple[slice, slice, slice], float]

BIG: Blob = (np.s_[1:4, 10:22, 12:24], 0.9)
FLAT: Blob = (np.s_[4:5, 30:36, 12:18], 0.85)
FAINT: Blob = (np.s_[2:3, 30:38, 30:38], 0.5)
DARK: Blob = (np.s_[1:3, 40:50, 10:20], -0.4)
FINDING_HEAT = 0.8


def make_detection(*blobs: Blob, squares: list[Square] | None = None) -> Detection:
    """What the detector makes of a heat like this; the residual is 40 times it."""
    signed = np.zeros(SHAPE, np.float32)
    for box, value in blobs:
        signed[box] = value
    brain = np.zeros(SHAPE, bool)
    brain[:5, 5:55, 5:45] = True
    affine = np.eye(4)
    affine[:3, :3] = np.fliplr(np.eye(3)) * [5.0, 1.0, 1.0]
    positions = np.arange(6)[:, None] * np.array([0.0, 0.0, 5.0])
    volume = CTVolume(np.full(SHAPE, 35, np.int16), affine, positions)
    residual = 40 * signed
    found, further = find(signed, residual, volume, [16.0], lambda region: np.ones(1), FINDING_HEAT)
    labels = np.zeros(SHAPE, np.uint16)
    shown = np.maximum(signed, 0)
    for number, (_, region) in enumerate([*found, *further], start=1):
        labels[region.box][region.part] = number
        if number <= len(found):
            shown[region.box][region.part] = np.abs(signed[region.box][region.part])
    return Detection(
        Maps(
            brain_mask=brain,
            inpainted=35 - residual,
            residual=residual,
            heatmap=shown,
            labels=labels,
            minimum_distance=residual / 2,
        ),
        findings=[finding for finding, _ in found],
        slice_scores=shown.max((1, 2)),
        done=np.ones(6, bool),
        run={
            "input": {"pixel_sha256": "ab", "spacing_mm": [5.0, 1.0, 1.0], "shape": list(SHAPE)},
            "scan": {
                "finding_heat": FINDING_HEAT,
                "healthy_scores": [i / 20 for i in range(1, 11)],
            },
            "model": "tiny",
        },
        further=[finding for finding, _ in further],
        squares=squares or [],
    )


def make_square(z: int, y: float, x: float, value: float, covered: float = 1.0) -> Square:
    """A square of 8 mm with the same value of every measure."""
    return Square(z, z, 8.0, y, x, 8.0, 8.0, covered, *[value] * 5)
