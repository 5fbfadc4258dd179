"""From heatmap to findings: connected regions with their measures."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_rsna_inpaint.detection.result import Finding
from napari_rsna_inpaint.volume import Array, CTVolume

Box = tuple[slice, slice, slice]
Sign = Literal["hyper", "hypo"]
BoolArray = npt.NDArray[np.bool_]

#: A bright region extends as far as the heat stays above this.
EXTENT = 0.3
#: The same for dark regions, and the heat that they must reach (see `heatmap.DARK_SPREADS`).
DARK_EXTENT, DARK_PEAK = 0.125, 0.3
#: So many regions below the threshold are kept at most.
MOST_FURTHER = 20
#: Smaller regions are noise.
MIN_AREA_MM2 = 25.0
#: A square size agrees when its own residual has this part of the mean one.
AGREEMENT = 0.5


@dataclass(frozen=True, eq=False)
class Region:
    """A connected region: ``part``, a bool mask of ``box``, with its highest heat.

    ``area_mm2`` is that of the slice where it is largest.
    """

    box: Box
    part: BoolArray
    peak: float
    area_mm2: float


#: A finding and where it lies.
Found = tuple[Finding, Region]


def regions(
    heat: npt.NDArray[np.float32], extent: float, spacing: tuple[float, float]
) -> Iterator[Region]:
    """Connected regions (26 neighbours) of ``(z, y, x)`` above ``extent``, but for noise.

    ``spacing`` is that of the pixels, ``(y, x)`` mm.
    """
    parts, n = ndimage.label(heat > extent, structure=np.ones((3, 3, 3)))
    for number, box in enumerate(ndimage.find_objects(parts, n), start=1):
        part = parts[box] == number
        area = float(part.sum((1, 2)).max()) * spacing[0] * spacing[1]
        if area >= MIN_AREA_MM2:
            yield Region(box, part, float(heat[box][part].max()), area)


def find(
    signed_heat: npt.NDArray[np.float32],
    residual: Array,
    volume: CTVolume,
    scale_names: list[float],
    scale_means: Callable[[Region], npt.NDArray[np.float64]],
    peak: float,
    place: Callable[[Region], Region] = lambda region: region,
) -> tuple[list[Found], list[Found]]:
    """Regions of the heatmap, brighter and darker ones apart.

    Parameters
    ----------
    signed_heat
        ``(z, y, x)`` heat, negative where darker, with the pixels of the volume.
    residual
        ``(z, y, x)`` HU on the volume's grid, original minus completion.
    scale_names
        Square sizes, mm.
    scale_means
        HU: mean residual of every square size over a region of the volume's grid,
        ``(n_scales,)``.
    peak
        Heat that a bright region must reach somewhere.
    place
        Brings a region of the heat to the volume's grid, where that is another.

    Returns
    -------
    Findings by falling score with their regions on the volume's grid, and in a second list,
    with numbers that go on, the hottest of the bright regions that do not reach the threshold.
    Dark ones have none: wide sulci are dark in every slice.
    """
    signs: tuple[tuple[Sign, int, float, float], ...] = (
        ("hyper", 1, EXTENT, peak),
        ("hypo", -1, DARK_EXTENT, DARK_PEAK),
    )
    reached, below = [], []
    for name, sign, extent, needed in signs:
        for region in regions(sign * signed_heat, extent, volume.spacing[1:]):
            if region.peak >= needed:
                reached.append((name, region))
            elif name == "hyper":
                below.append((name, region))
    below.sort(key=lambda one: -one[1].peak)
    both = []
    for listed in (reached, below[:MOST_FURTHER]):
        found = []
        for name, region in listed:
            placed = place(region)
            found.append((measure(placed, name, residual, volume), placed))
        # where several are certain, the larger comes first
        found.sort(key=lambda one: (-round(one[0].score, 2), -one[0].volume_ml))
        both.append(found)
    for number, (finding, region) in enumerate(itertools.chain(*both), start=1):
        finding.id = f"F{number}"
        agreeing = scale_means(region) / finding.mean_residual_hu >= AGREEMENT
        finding.scales = [
            name for name, agrees in zip(scale_names, agreeing, strict=True) if agrees
        ]
    return both[0], both[1]


def measure(
    region: Region,
    sign: Sign,
    residual: Array,
    volume: CTVolume,
) -> Finding:
    """Measure a region of the volume's grid; its id and scales stay empty.

    ``residual`` is ``(z, y, x)`` HU on the same grid, original minus completion.
    """
    box, part = region.box, region.part
    start = [side.start for side in box]
    x, y, z = volume.to_patient(np.argwhere(part).mean(0) + start)
    return Finding(
        id="",
        slices=(box[0].start, box[0].stop - 1),
        centroid_mm=(float(x), float(y), float(z)),
        bbox=(*start, *(side.stop for side in box)),
        volume_ml=float(part.sum((1, 2)) @ volume.voxel_volumes_ml[box[0]]),
        area_mm2=region.area_mm2,
        sign=sign,
        score=region.peak,
        mean_hu=float(volume.hu[box][part].mean()),
        mean_residual_hu=float(residual[box][part].mean()),
        scales=[],
    )
