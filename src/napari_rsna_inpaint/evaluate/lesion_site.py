"""Where in a head a synthetic bleed can lie: geometry in mm and a coarse map of tissue."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import binary_dilation, binary_opening, distance_transform_edt, label

from napari_rsna_inpaint.evaluate.lesion_texture import FloatArray
from napari_rsna_inpaint.volume import CTVolume

BoolArray = npt.NDArray[np.bool_]
Box = tuple[slice, slice, slice]

_COARSE_MM = 1.8
_CSF_HU = 18.0
_VENTRICLE_DEPTH_MM = 22.0
_VENTRICLE_REACH_MM = 34.0  # from the midline to the side
_CISTERN_REACH_MM = 9.0
_VENTRICLE_ML = 0.4
_CROSS = np.array([[[0, 1, 0], [1, 1, 1], [0, 1, 0]]], bool)


@dataclass(frozen=True)
class Frame:
    """Positions of the voxels of a canonical array (head, posterior, left), in mm.

    Attributes
    ----------
    z, thickness
        ``(n_slices,)`` position along the slice normal and extent of every slice.
    origin
        ``(n_slices, 2)`` position ``(y, x)`` of the first pixel; differs between slices
        when the gantry was tilted.
    step
        Pixel size ``(y, x)``.
    shape
        ``(z, y, x)`` of the whole array.
    """

    z: npt.NDArray[np.float64]
    thickness: npt.NDArray[np.float64]
    origin: npt.NDArray[np.float64]
    step: tuple[float, float]
    shape: tuple[int, ...]

    @classmethod
    def of(cls, volume: CTVolume) -> Frame:
        """Frame of ``volume.to_canonical(...)``."""
        flips = volume.canonical_flips
        order = slice(None, None, -1 if 0 in flips else 1)
        z = volume.slice_z_mm[order] * (-1 if 0 in flips else 1)
        in_plane = [
            volume.positions[order] @ volume.affine[:3, axis] * (-1 if axis in flips else 1) / step
            for axis, step in zip((1, 2), volume.spacing[1:], strict=True)
        ]
        origin = np.stack(in_plane, axis=1)
        return cls(
            z=z - z[0],
            thickness=volume.slice_extent_mm[order],
            origin=origin - origin[0],
            step=volume.spacing[1:],
            shape=volume.hu.shape,
        )

    def coordinates(self, box: Box, layers: int = 1) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Positions ``(z, y, x)`` in mm within a box, every slice split into thin layers.

        Returns
        -------
        Arrays ``(z * layers, 1, 1)``, ``(z * layers, y, 1)`` and ``(z * layers, 1, x)``.
        """
        inside = (np.arange(layers) + 0.5) / layers - 0.5
        z = self.z[box[0], None] + inside * self.thickness[box[0], None]
        y, x = (
            np.repeat(self.origin[box[0], axis], layers)[:, None]
            + np.arange(box[1 + axis].start, box[1 + axis].stop) * self.step[axis]
            for axis in (0, 1)
        )
        return (
            z.reshape(-1, 1, 1).astype(np.float32),
            y[:, :, None].astype(np.float32),
            x[:, None, :].astype(np.float32),
        )

    def box(self, centre: npt.ArrayLike, reach: npt.ArrayLike) -> Box:
        """Voxels within ``reach`` (z, y, x) mm of a point, cut at the ends of the array."""
        middle, far = np.asarray(centre, float), np.asarray(reach, float)
        near = np.flatnonzero(np.abs(self.z - middle[0]) <= far[0] + self.thickness / 2)
        nearest = int(np.argmin(np.abs(self.z - middle[0])))
        first, last = (near[0], near[-1]) if len(near) else (nearest, nearest)
        origin = self.origin[nearest]
        plane = []
        for axis in (0, 1):
            low = (middle[1 + axis] - far[1 + axis] - origin[axis]) / self.step[axis]
            high = (middle[1 + axis] + far[1 + axis] - origin[axis]) / self.step[axis]
            n = self.shape[1 + axis]
            plane.append(slice(int(np.clip(low, 0, n - 1)), int(np.clip(high + 1, 1, n))))
        return slice(int(first), int(last) + 1), plane[0], plane[1]

    def voxel_ml(self, box: Box) -> npt.NDArray[np.float64]:
        """``(z, 1, 1)`` volume of one voxel of every slice of a box."""
        return (self.thickness[box[0]] * self.step[0] * self.step[1] / 1000)[:, None, None]


@dataclass(frozen=True)
class Site:
    """Coarse map of a head; all arrays ``(z, y, x)`` on native slices and larger pixels.

    Attributes
    ----------
    window
        ``(y, x)`` native pixels that the map covers.
    factor
        Native pixels per coarse pixel, in both directions.
    hu
        Mean HU of the brain in each coarse pixel; 0 outside.
    depth
        Distance to the border of the brain mask in mm; 0 outside.
    ventricles
        Wide parts of the lateral and third ventricles.
    deep_csf
        CSF near the middle of the brain: ventricles and cisterns.
    z, y, x
        Positions in mm that broadcast to the map.
    middle
        Position ``(y, x)`` of the middle of the brain, mm.
    """

    window: tuple[slice, slice]
    factor: int
    hu: FloatArray
    depth: FloatArray
    ventricles: BoolArray
    deep_csf: BoolArray
    z: FloatArray
    y: FloatArray
    x: FloatArray
    middle: tuple[float, float]

    @classmethod
    def of(cls, hu: npt.NDArray, brain: BoolArray, frame: Frame) -> Site:
        """Map canonical HU and brain mask."""
        factor = max(1, round(_COARSE_MM / frame.step[0]))
        window = (
            _around(np.any(brain, axis=(0, 2)), factor),
            _around(np.any(brain, axis=(0, 1)), factor),
        )
        cut = (slice(None), *window)
        inside = brain[cut]
        share = _block_mean(inside, factor)
        mean = _block_mean(np.clip(hu[cut], -30, 120) * inside, factor)
        mean = np.where(share > 0.2, mean / np.maximum(share, 0.2), 0).astype(np.float32)
        steps = (float(np.mean(frame.thickness)), *(mm * factor for mm in frame.step))
        padded = np.pad(share >= 0.5, 1)
        depth = distance_transform_edt(padded, sampling=steps)[1:-1, 1:-1, 1:-1]
        box = (slice(0, len(hu)), *window)
        z, y, x = frame.coordinates(box)
        n_y, n_x = share.shape[1:]
        y, x = _block_centres(y, 1, factor, n_y), _block_centres(x, 2, factor, n_x)
        middle = tuple(float((share * axis).sum() / max(share.sum(), 1e-6)) for axis in (y, x))
        csf = (mean < _CSF_HU) & (share > 0.9) & (depth > _VENTRICLE_DEPTH_MM)
        off = np.abs(x - middle[1])
        deep = csf & (off < _VENTRICLE_REACH_MM)
        # Behind the middle, cisterns lie at the midline and as thin clefts around the stem.
        wide = deep & ((y < middle[0] + 5) | (off > _CISTERN_REACH_MM))
        wide = binary_dilation(binary_opening(wide, _CROSS), _CROSS, mask=wide)
        ventricles = _largest_parts(wide, 1000 * _VENTRICLE_ML / float(np.prod(steps)))
        return cls(
            window=window,
            factor=factor,
            hu=mean,
            depth=depth.astype(np.float32),
            ventricles=ventricles,
            deep_csf=deep,
            z=z,
            y=y,
            x=x,
            middle=(middle[0], middle[1]),
        )

    def point(self, index: npt.ArrayLike) -> tuple[float, float, float]:
        """Position ``(z, y, x)`` in mm of a coarse index."""
        z, y, x = (int(i) for i in np.asarray(index))
        return float(self.z[z, 0, 0]), float(self.y[z, y, 0]), float(self.x[z, 0, x])

    def draw(
        self, rng: np.random.Generator, weight: npt.NDArray
    ) -> tuple[float, float, float] | None:
        """Draw a position with probability proportional to ``weight``; None if all are 0."""
        total = np.cumsum(weight, dtype=np.float64)
        if total[-1] <= 0:
            return None
        flat = int(np.searchsorted(total, rng.random() * total[-1], side="right"))
        return self.point(np.unravel_index(flat, weight.shape))

    def to_native(self, mask: BoolArray, box: Box, margin: int = 1) -> BoolArray:
        """Coarse mask, grown by a margin in the slice, on the native voxels of a box."""
        grown = binary_dilation(mask, np.ones((1, 3, 3)), iterations=margin)
        rows, columns = (
            (np.arange(part.start, part.stop) - whole.start) // self.factor
            for part, whole in zip(box[1:], self.window, strict=True)
        )
        inside = ((rows >= 0) & (rows < mask.shape[1]))[:, None] & (
            (columns >= 0) & (columns < mask.shape[2])
        )
        rows, columns = (
            np.clip(index, 0, n - 1)
            for index, n in zip((rows, columns), mask.shape[1:], strict=True)
        )
        return grown[box[0]][:, rows][:, :, columns] & inside


def _around(inside: npt.NDArray, margin: int) -> slice:
    found = np.flatnonzero(inside)
    return slice(max(0, int(found[0]) - margin), min(len(inside), int(found[-1]) + 1 + margin))


def _block_mean(values: npt.NDArray, factor: int) -> FloatArray:
    """Mean of blocks of ``factor`` pixels in y and x; zeros fill the last blocks."""
    pad = [(0, 0), *((0, -n % factor) for n in values.shape[1:])]
    padded = np.pad(values, pad).astype(np.float32)
    n, height, width = padded.shape
    blocks = padded.reshape(n, height // factor, factor, width // factor, factor)
    return blocks.mean(axis=(2, 4))


def _block_centres(position: FloatArray, axis: int, factor: int, count: int) -> FloatArray:
    first = np.take(position, [0], axis)
    step = np.take(position, [1], axis) - first
    shape = [1, 1, 1]
    shape[axis] = count
    return first + step * (np.arange(count).reshape(shape) * factor + (factor - 1) / 2)


def _largest_parts(mask: BoolArray, voxels: float) -> BoolArray:
    """Connected parts of at least a size and not much smaller than the largest one."""
    labels, _ = label(mask, np.ones((3, 3, 3)))
    size = np.bincount(labels.ravel())
    size[0] = 0
    return (size >= max(voxels, 0.25 * size.max()))[labels]
