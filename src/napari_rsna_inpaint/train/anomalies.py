"""Anomalies painted into healthy slices, for a network that learns to take them away.

The published system lets a second diffusion model, trained on bleeds, paint them. Here they are
blobs that shift the HU under them: no bleeds are needed for training, and their size and density
vary more than those of a few hundred labelled ones.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from scipy import ndimage

from napari_rsna_inpaint.train.dataset import Triplet
from napari_rsna_inpaint.train.holes import blob

#: Diameter of an anomaly, mm: 7 to 70 pixels of 0.9 mm, as published.
DIAMETER_MM = (6.3, 63.0)
#: By how much bleeds and, less often, dark lesions differ from what they cover, HU.
BRIGHT_HU, DARK_HU, DARK_SHARE = (6.0, 55.0), (6.0, 20.0), 0.15
#: Anomalies of a slice: at least one.
MAX_ANOMALIES = 3
#: Width of the soft edge, mm.
EDGE_MM = (0.4, 2.0)
#: How often an anomaly is seen in the slice below, and in the one above.
NEIGHBOUR_SHARE = 0.7
#: Part of the anomaly's area in the brain; what lies mostly outside is no lesion of the brain.
MIN_INSIDE, TRIES = 0.5, 8


def paint_anomalies(triplet: Triplet, pixel_mm: float, rng: np.random.Generator) -> Triplet:
    """Paint anomalies into a slice and mostly into its neighbours.

    Diameters are drawn on a logarithmic scale from `DIAMETER_MM`. Texture and noise of the tissue
    stay under them.

    Parameters
    ----------
    triplet
        Healthy; without brain it comes back as it is.
    """
    hu = triplet.hu.clone()
    if not triplet.brain.any():
        return triplet
    for _ in range(int(rng.integers(1, MAX_ANOMALIES + 1))):
        amount = torch.from_numpy(_anomaly(triplet, pixel_mm, rng))
        hu[1] += amount
        for plane in (0, 2):
            if rng.random() < NEIGHBOUR_SHARE:
                hu[plane] += amount
    return replace(triplet, hu=hu)


def _anomaly(triplet: Triplet, pixel_mm: float, rng: np.random.Generator) -> np.ndarray:
    """Shift of HU by one anomaly, ``(y, x)`` float32."""
    brain = triplet.brain
    inside = np.argwhere(brain)
    for _ in range(TRIES):
        center = inside[rng.integers(len(inside))]
        radius = np.exp(rng.uniform(*np.log(DIAMETER_MM))) / 2 / pixel_mm
        lesion = blob(brain.shape, center, max(float(radius), 1.0), rng)
        if (lesion & brain).sum() >= MIN_INSIDE * lesion.sum():
            break
    dark = rng.random() < DARK_SHARE
    shift = -rng.uniform(*DARK_HU) if dark else rng.uniform(*BRIGHT_HU)
    soft = ndimage.gaussian_filter(
        (lesion & brain).astype(np.float32), rng.uniform(*EDGE_MM) / pixel_mm
    )
    return (shift * soft * brain).astype(np.float32)
