"""From sections on the model grid to planes on the volume's own grid."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from napari_rsna_inpaint.brain import PackedMask
from napari_rsna_inpaint.detection.findings import Region
from napari_rsna_inpaint.detection.planes import ALL, Index, Planes
from napari_rsna_inpaint.detection.result import Square
from napari_rsna_inpaint.detection.scan import Scan
from napari_rsna_inpaint.detection.square_metrics import SQUARE_METRICS, Squares
from napari_rsna_inpaint.inpaint.resample import ModelGrid
from napari_rsna_inpaint.volume import CTVolume

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Stack:
    """Sections with the pixels of the slices, cropped to the brain.

    Attributes
    ----------
    values
        ``(n, y, x)`` float32, in the order of the volume's slices.
    place
        Brings a region of ``values`` to the volume's grid: into every slice of its sections,
        as far as that is brain.
    """

    values: FloatArray
    place: Callable[[Region], Region]


class NativeGrid:
    """The way from a scan's sections back to its slices.

    Parameters
    ----------
    volume
        The series.
    mask
        Its brain mask in canonical orientation.
    grid
        Model grid of the slices.
    scan
        Says which slices make a section.
    """

    def __init__(self, volume: CTVolume, mask: PackedMask, grid: ModelGrid, scan: Scan) -> None:
        self._volume = volume
        self._mask = mask
        self._grid = grid
        self._scan = scan
        self.shape = volume.hu.shape

    def slices(self, k: int) -> list[int]:
        """Slices of the volume that make section ``k``, increasing."""
        section = self._scan.sections[k]
        return sorted(map(self._volume.canonical_slice, range(section.start, section.stop)))

    def stack(self, images: Mapping[int, FloatArray]) -> Stack:
        """Images of all sections, ``(y, x)`` on the model grid by number, with native pixels.

        0 outside the brain of all slices of a section, and where there is no image.
        """
        first, last = self._scan.with_brain[0], self._scan.with_brain[-1]
        numbers = sorted(range(first, last + 1), key=lambda k: self.slices(k)[0])
        outline = self._from_canonical(lambda y, x: self._mask.outline()[y][:, x], ALL, ALL)
        rows, columns = (np.flatnonzero(outline.any(axis)) for axis in (1, 0))
        rows, columns = (np.arange(one[0], one[-1] + 1) for one in (rows, columns))
        values = np.zeros((len(numbers), len(rows), len(columns)), np.float32)
        for plane, k in zip(values, numbers, strict=True):
            if k in images:
                inside = np.logical_or.reduce(
                    [self._brain(z, rows, columns) for z in self.slices(k)]
                )
                plane[:] = np.where(inside, self._to_native(images[k], rows, columns), 0)

        def place(region: Region) -> Region:
            depth, y, x = region.box
            inside = [self.slices(k) for k in numbers[depth]]
            part = np.repeat(region.part, [len(one) for one in inside], axis=0)
            for plane, z in zip(part, itertools.chain(*inside), strict=True):
                plane &= self._brain(z, rows[y], columns[x])
            box = (
                slice(inside[0][0], inside[-1][-1] + 1),
                slice(int(rows[0]) + y.start, int(rows[0]) + y.stop),
                slice(int(columns[0]) + x.start, int(columns[0]) + x.stop),
            )
            return replace(region, box=box, part=part)

        return Stack(values, place)

    def brain(self) -> Planes:
        """The brain mask, bool."""
        return Planes(self.shape, bool, self._brain)

    def image(self, sections: Mapping[int, npt.NDArray[np.floating]]) -> Planes:
        """Images of sections, ``(y, x)`` on the model grid by number, interpolated; float32.

        0 outside the brain and where there is no section; one that is added later is seen.
        """

        def compute(z: int, rows: Index, columns: Index) -> npt.NDArray:
            number = self._scan.section_of[self._volume.canonical_slice(z)]
            inside = self._brain(z, rows, columns)
            if number not in sections:
                return np.zeros(inside.shape, np.float32)
            values = self._to_native(sections[number], rows, columns)
            return np.where(inside, values, np.float32(0))

        return Planes(self.shape, np.float32, compute)

    def completion(self, residual: Planes) -> Planes:
        """The original minus its residual, HU; float32."""

        def compute(z: int, rows: Index, columns: Index) -> npt.NDArray:
            original = self._volume.hu[z][rows][:, columns]
            return original - residual.plane(z, rows, columns)

        return Planes(self.shape, np.float32, compute)

    def labels(self, regions: Sequence[Region]) -> Planes:
        """Number of the region, from 1, that a voxel belongs to, else 0; uint16."""

        def compute(z: int, rows: Index, columns: Index) -> npt.NDArray:
            plane = np.zeros(self.shape[1:], np.uint16)
            for number, region in enumerate(regions, start=1):
                depth, *side = region.box
                if depth.start <= z < depth.stop:
                    plane[tuple(side)][region.part[z - depth.start]] = number
            return plane[rows][:, columns]

        return Planes(self.shape, np.uint16, compute)

    def squares(self, k: int, rows: Squares, sizes_mm: Sequence[float]) -> list[Square]:
        """Squares of section ``k``; ``sizes_mm`` are the sizes that they number."""
        slices = self.slices(k)
        corner, extent = [], []
        for axis, name in enumerate(("y", "x")):
            step = self._grid.step[axis]
            first = self._grid.start[axis] + step * (rows[name] - 0.5)
            extent.append(step * rows["side"])
            if axis + 1 in self._volume.canonical_flips:
                first = self.shape[axis + 1] - 1 - first - extent[axis]
            corner.append(first)
        columns = (*corner, *extent, rows["covered"], *(rows[name] for name in SQUARE_METRICS))
        # as many digits as a file keeps, so that a result read back is the same
        values = np.stack(columns, 1, dtype=np.float64).round(4).tolist()
        return [
            Square(slices[0], slices[-1], sizes_mm[scale], *measured)
            for scale, measured in zip(rows["scale"], values, strict=True)
        ]

    def heatmap(self, signed: Planes, labels: Planes) -> Planes:
        """What is shown of the signed heat: dark regions only where they are findings.

        ``labels`` are those of the findings alone.
        """

        def compute(z: int, rows: Index, columns: Index) -> npt.NDArray:
            heat = signed.plane(z, rows, columns)
            found = labels.plane(z, rows, columns) > 0
            return np.where(found, np.abs(heat), np.maximum(heat, 0))

        return Planes(self.shape, np.float32, compute)

    def _brain(self, z: int, rows: Index, columns: Index) -> npt.NDArray[np.bool_]:
        plane = self._mask[self._volume.canonical_slice(z)]
        return self._from_canonical(lambda y, x: plane[y][:, x], rows, columns)

    def _to_native(
        self, image: npt.NDArray[np.floating], rows: Index, columns: Index
    ) -> npt.NDArray:
        # half precision saves memory, but is nothing to calculate with
        values = image.astype(np.float32, copy=False)
        return self._from_canonical(lambda y, x: self._grid.to_native(values, y, x), rows, columns)

    def _from_canonical(
        self, compute: Callable[[Index, Index], npt.NDArray], rows: Index, columns: Index
    ) -> npt.NDArray:
        """Rows and columns of a plane that ``compute`` makes in canonical orientation."""
        wanted, turned = [rows, columns], []
        for axis, index in enumerate(wanted):
            if axis + 1 not in self._volume.canonical_flips:
                continue
            if isinstance(index, slice):
                turned.append(axis)
            else:
                wanted[axis] = self.shape[axis + 1] - 1 - index
        return np.flip(compute(*wanted), tuple(turned))
