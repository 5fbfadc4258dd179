"""What a detector gives back, as plain data with stable names."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from napari_rsna_inpaint.volume import Array

#: Fixed display range of the heatmap (0 to 1, see `heatmap.heat`): never per image.
HEATMAP_LIMITS = (0.0, 1.0)
#: Larger images than this are not held as arrays but computed where they are looked at: a
#: gigabyte each would fill the memory.
ARRAY_VOXELS = 2**26
#: Fixed display range of the signed residual, HU.
RESIDUAL_LIMITS_HU = (-40.0, 40.0)


@dataclass
class Finding:
    """One connected region that departs from the healthy completion.

    Attributes
    ----------
    id
        Stable within one run: ``"F1"`` has the highest score.
    slices
        First and last slice (array index along ``z``, both included).
    centroid_mm
        LPS mm.
    bbox
        ``(z0, y0, x0, z1, y1, x1)`` array indices, ends excluded.
    volume_ml, area_mm2
        True volume; area in the slice where it is largest.
    sign
        ``"hyper"``: brighter than its healthy completion, ``"hypo"``: darker.
    score
        Highest heat, 0 to 1; the list is sorted by it, and by volume among equals.
    mean_hu, mean_residual_hu
        Original, and original minus completion, averaged over the region.
    scales
        Square sizes (mm) at which the region departs as well.
    verdict, reason
        Of a reader; None until there is one.
    """

    id: str
    slices: tuple[int, int]
    centroid_mm: tuple[float, float, float]
    bbox: tuple[int, int, int, int, int, int]
    volume_ml: float
    area_mm2: float
    sign: Literal["hyper", "hypo"]
    score: float
    mean_hu: float
    mean_residual_hu: float
    scales: list[float]
    verdict: str | None = None
    reason: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain dictionary with the keys of ``findings.json``."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Square:
    """One square of the grid, and how its original differs from its healthy completion.

    Attributes
    ----------
    slice, last_slice
        First and last slice; more than one only where thin slices were looked at as one.
    size_mm
        Size of the square as named in the protocol.
    y, x
        Array indices of the corner with the lowest ones; pixel ``i`` extends from ``i - 0.5``
        to ``i + 0.5``. Beyond the image where its border cuts the square.
    height, width
        Pixels.
    covered
        Share of the square that was hidden, and measured; the rest is not brain.
    mean_difference, earth_mover, std_difference, mse, histogram_difference, outliers
        See `square_metrics.SquareMetric`: HU, HU, HU, HU squared, share of the pixels, model
        pixels; the last is NaN in results that were stored before it was measured.
    """

    slice: int
    last_slice: int
    size_mm: float
    y: float
    x: float
    height: float
    width: float
    covered: float
    mean_difference: float
    earth_mover: float
    std_difference: float
    mse: float
    histogram_difference: float
    outliers: float = math.nan


@dataclass(frozen=True, eq=False)
class Maps:
    """The images of a result on the volume's own grid; all ``(z, y, x)``.

    Arrays, or `Planes` that are computed when they are looked at.

    Attributes
    ----------
    brain_mask
        bool, True inside the skull.
    inpainted
        float32 HU, the healthy completion; equals the original where nothing was hidden.
    residual
        float32 HU, signed: original minus inpainted.
    heatmap
        float32, calibrated score from 0 to 1, higher is more anomalous; 0 outside the mask.
    labels
        uint16, ``k`` where finding ``F<k>`` lies, also one of ``Detection.further``, else 0.
    minimum_distance
        float32 HU, signed: original minus that completion of a pixel which is nearest to it
        (minimum completion distance).
    """

    brain_mask: Array
    inpainted: Array
    residual: Array
    heatmap: Array
    labels: Array
    minimum_distance: Array


@dataclass(frozen=True, eq=False)
class SliceResult:
    """One finished slice; its images are ``(y, x)`` float32 on the volume's own grid.

    Attributes
    ----------
    index
        Position along ``z``.
    maps
        The images of the run, which show what is finished so far: the same object for all
        slices. The heatmap is preliminary, and there are no labels, until all are there.
    """

    index: int
    maps: Maps

    @property
    def inpainted(self) -> npt.NDArray[np.float32]:
        """HU, the healthy completion."""
        return self.maps.inpainted[self.index]

    @property
    def residual(self) -> npt.NDArray[np.float32]:
        """HU, original minus inpainted."""
        return self.maps.residual[self.index]

    @property
    def heatmap(self) -> npt.NDArray[np.float32]:
        """0 to 1, the calibrated score."""
        return self.maps.heatmap[self.index]


@dataclass
class Detection:
    """Result of one run.

    ``brain_mask``, ``inpainted``, ``residual``, ``heatmap``, ``labels`` and
    ``minimum_distance`` are its maps as arrays, made when first asked for.

    Attributes
    ----------
    maps
        The images.
    findings
        Sorted by score, highest first.
    slice_scores
        ``(z,)`` float32.
    done
        ``(z,)`` bool, slices that were finished (all of them unless cancelled).
    run
        Provenance: everything needed to repeat the run (see ``run.json``), and under ``scan``
        the score of the whole scan with the threshold that healthy scans seldom exceed.
    further
        Regions that are not hot enough to be findings, by falling score; their numbers go on.
    squares
        What was measured square by square.
    """

    maps: Maps
    findings: list[Finding]
    slice_scores: npt.NDArray[np.float32]
    done: npt.NDArray[np.bool_]
    run: dict[str, Any] = field(default_factory=dict)
    further: list[Finding] = field(default_factory=list)
    squares: list[Square] = field(default_factory=list)

    @property
    def fits_memory(self) -> bool:
        """Whether the images are small enough to be held as arrays, all of them."""
        return int(np.prod(self.maps.labels.shape)) <= ARRAY_VOXELS

    def make_arrays(self) -> None:
        """Make the arrays of all maps, where they fit into the memory, and not when asked for."""
        if self.fits_memory:
            for name in vars(self.maps):
                getattr(self, name)

    @cached_property
    def brain_mask(self) -> npt.NDArray[np.bool_]:
        """``(z, y, x)`` bool, True inside the skull."""
        return np.asarray(self.maps.brain_mask)

    @cached_property
    def inpainted(self) -> npt.NDArray[np.float32]:
        """``(z, y, x)`` HU, the healthy completion."""
        return np.asarray(self.maps.inpainted)

    @cached_property
    def residual(self) -> npt.NDArray[np.float32]:
        """``(z, y, x)`` HU, original minus inpainted."""
        return np.asarray(self.maps.residual)

    @cached_property
    def heatmap(self) -> npt.NDArray[np.float32]:
        """``(z, y, x)``, 0 to 1, higher is more anomalous."""
        return np.asarray(self.maps.heatmap)

    @cached_property
    def labels(self) -> npt.NDArray[np.uint16]:
        """``(z, y, x)``, ``k`` where finding ``F<k>`` lies, also a further one."""
        return np.asarray(self.maps.labels)

    @cached_property
    def minimum_distance(self) -> npt.NDArray[np.float32]:
        """``(z, y, x)`` HU, original minus the nearest completion."""
        return np.asarray(self.maps.minimum_distance)
