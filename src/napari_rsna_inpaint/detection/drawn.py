"""A region that a reader drew, measured like the findings of a detector."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_rsna_inpaint.detection.findings import Region, Sign, measure
from napari_rsna_inpaint.detection.result import Finding
from napari_rsna_inpaint.volume import Array, CTVolume


def drawn_finding(
    identity: str, region: npt.NDArray[np.bool_], volume: CTVolume, residual: Array
) -> Finding:
    """Measures of a drawn region; its score is 0, no detector gave it any.

    Parameters
    ----------
    region
        ``(z, y, x)``, not empty.
    residual
        ``(z, y, x)`` HU, original minus completion.
    """
    (box,) = ndimage.find_objects(region.astype(np.uint8))
    part = region[box]
    _, y_mm, x_mm = volume.spacing
    area = float(part.sum((1, 2)).max()) * y_mm * x_mm
    sign: Sign = "hyper" if float(residual[box][part].mean()) >= 0 else "hypo"
    finding = measure(Region(box, part, 0.0, area), sign, residual, volume)
    finding.id = identity
    return finding
