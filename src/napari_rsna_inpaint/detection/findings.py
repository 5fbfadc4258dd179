"""From heatmap to findings: connected regions with their measures."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_rsna_inpaint.detection.result import Finding
from napari_rsna_inpaint.volume import CTVolume

Box = tuple[slice, slice, slice]
BoolArray = npt.NDArray[np.bool_]

#: A bright region extends as far as the heat stays above this.
EXTENT = 0.3
#: The same for dark regions, and the heat that they must reach (see `heatmap.DARK_SPREADS`).
DARK_EXTENT, DARK_PEAK = 0.125, 0.3
#: Smaller regions are noise.
MIN_AREA_MM2 = 25.0
#: A square size agrees when its own residual has this part of the mean one.
AGREEMENT = 0.5


def find(
    signed_heat: npt.NDArray[np.float32],
    residual: npt.NDArray[np.float32],
    volume: CTVolume,
    scale_names: list[float],
    scale_means: Callable[[Box, BoolArray], npt.NDArray[np.float64]],
    peak: float,
) -> tuple[list[Finding], npt.NDArray[np.uint16]]:
    """Regions of the heatmap above the thresholds, brighter and darker ones apart.

    Parameters
    ----------
    signed_heat
        ``(z, y, x)`` heat on the volume's grid, negative where darker.
    residual
        ``(z, y, x)`` HU, original minus completion.
    scale_names
        Square sizes, mm.
    scale_means
        ``(box, part) -> (n_scales,)`` HU: mean residual of every square size over the
        region ``part`` in ``box``.
    peak
        Heat that a bright region must reach somewhere.

    Returns
    -------
    Findings by falling score, and ``(z, y, x)`` uint16 labels: ``k`` for ``F<k>``.
    """
    found = []
    for sign, extent, needed in ((1, EXTENT, peak), (-1, DARK_EXTENT, DARK_PEAK)):
        inside = sign * signed_heat > extent
        parts, n = ndimage.label(inside, structure=np.ones((3, 3, 3)))
        for number, box in enumerate(ndimage.find_objects(parts, n), start=1):
            part = parts[box] == number
            finding = _measure(part, box, sign, needed, signed_heat, residual, volume)
            if finding is not None:
                found.append((finding, box, part))
    # where several are certain, the larger comes first
    found.sort(key=lambda entry: (-round(entry[0].score, 2), -entry[0].volume_ml))
    labels = np.zeros(signed_heat.shape, np.uint16)
    for number, (finding, box, part) in enumerate(found, start=1):
        labels[box][part] = number
        finding.id = f"F{number}"
        agreeing = scale_means(box, part) / finding.mean_residual_hu >= AGREEMENT
        finding.scales = [
            name for name, agrees in zip(scale_names, agreeing, strict=True) if agrees
        ]
    return [finding for finding, _, _ in found], labels


def _measure(
    part: BoolArray,
    box: Box,
    sign: int,
    needed: float,
    signed_heat: npt.NDArray[np.float32],
    residual: npt.NDArray[np.float32],
    volume: CTVolume,
) -> Finding | None:
    heat = np.abs(signed_heat[box][part])
    pixels = part.sum((1, 2))
    area = float(pixels.max()) * volume.spacing[1] * volume.spacing[2]
    if heat.max() < needed or area < MIN_AREA_MM2:
        return None
    start = [side.start for side in box]
    x, y, z = volume.to_patient(np.argwhere(part).mean(0) + start)
    return Finding(
        id="",
        slices=(box[0].start, box[0].stop - 1),
        centroid_mm=(float(x), float(y), float(z)),
        bbox=(*start, *(side.stop for side in box)),
        volume_ml=float(pixels @ volume.voxel_volumes_ml[box[0]]),
        area_mm2=area,
        sign="hyper" if sign > 0 else "hypo",
        score=float(heat.max()),
        mean_hu=float(volume.hu[box][part].mean()),
        mean_residual_hu=float(residual[box][part].mean()),
        scales=[],
    )
