"""Shapes of solid bleeds: fields in mm, positive inside, on thin layers of slices."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from scipy.ndimage import distance_transform_edt, map_coordinates

from napari_rsna_inpaint.errors import InputRefused
from napari_rsna_inpaint.evaluate.lesion_site import BoolArray, Site
from napari_rsna_inpaint.evaluate.lesion_texture import FloatArray, fractal

_AROUND_MM = 6.0  # distances are known so far around a real outline

Coordinates = tuple[FloatArray, FloatArray, FloatArray]
Point = tuple[float, float, float]


@dataclass(frozen=True)
class Shape:
    """Outline of a real bleed.

    Attributes
    ----------
    mask
        ``(z, y, x)`` bool, cut to the bleed; z to the head, y posterior, x left.
    spacing
        ``(z, y, x)`` voxel size in mm.
    """

    mask: BoolArray
    spacing: tuple[float, float, float]

    @property
    def volume_ml(self) -> float:
        """Volume of the bleed."""
        return float(self.mask.sum() * np.prod(self.spacing) / 1000)


def read_shape(path: str | Path) -> Shape:
    """Read a binary 3-D mask as the outline of a bleed.

    Parameters
    ----------
    path
        NIfTI file, 0 outside and anything else inside.

    Raises
    ------
    InputRefused
        If the file is damaged, not 3-D, or empty.
    """
    import nibabel as nib

    from napari_rsna_inpaint.io.nifti import read_voxels

    voxels, affine = read_voxels(Path(path))
    if voxels.ndim != 3 or not voxels.any():
        raise InputRefused("The lesion shape is not 3-D or empty. Choose a 3-D mask of a bleed.")
    # RAS to LPS: x and y run the other way.
    orientation = nib.io_orientation(np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine)
    mask = nib.apply_orientation(voxels != 0, orientation).transpose(2, 1, 0)
    length = np.linalg.norm(affine[:3, :3], axis=0)[np.argsort(orientation[:, 0])]
    for axis in range(3):
        inside = np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis})))
        mask = np.take(mask, np.arange(inside[0], inside[-1] + 1), axis)
    return Shape(np.ascontiguousarray(mask), (float(length[2]), float(length[1]), float(length[0])))


@dataclass(frozen=True)
class Blob:
    """An ellipsoid with a fractal surface: a bleed in the brain.

    Attributes
    ----------
    centre
        ``(z, y, x)`` mm.
    radii
        Half axes ``(z, long, short)``, mm.
    angle
        Direction of the long axis in the slice, radians.
    """

    centre: Point
    radii: tuple[float, float, float]
    angle: float

    @classmethod
    def draw(cls, rng: np.random.Generator, centre: Point, volume_ml: float) -> Blob:
        """Draw proportions (aspect 0.55-1) for a volume."""
        height, width = rng.uniform(0.55, 1, 2)
        long = (volume_ml * 1000 / (4 / 3 * math.pi * height * width)) ** (1 / 3)
        return cls(centre, (long * height, long, long * width), rng.uniform(0, math.pi))

    @property
    def reach(self) -> Point:
        """Largest distance of the surface from the centre, mm."""
        height, long, _ = self.radii
        return 1.6 * height + 2, 1.6 * long + 2, 1.6 * long + 2

    def field(self, at: Coordinates, rng: np.random.Generator) -> FloatArray:
        """Distance to the surface at thin layers, positive inside."""
        z, y, x = (axis - np.float32(mid) for axis, mid in zip(at, self.centre, strict=True))
        along = y * math.cos(self.angle) + x * math.sin(self.angle)
        across = x * math.cos(self.angle) - y * math.sin(self.angle)
        parts = zip((z, along, across), self.radii, strict=True)
        rho = np.sqrt(sum((part / np.float32(radius)) ** 2 for part, radius in parts))
        mean = float(np.prod(self.radii)) ** (1 / 3)
        rough = fractal(rng, at, max(4.0, 1.6 * mean), smoothness=2.5)
        return np.float32(mean) * (1 - rho + np.float32(0.2) * rough)


@dataclass(frozen=True)
class Placed:
    """A real outline at a place, scaled, turned in the slice and possibly mirrored."""

    shape: Shape
    centre: Point
    scale: float
    angle: float
    mirrored: bool

    @classmethod
    def draw(
        cls, rng: np.random.Generator, shape: Shape, centre: Point, volume_ml: float
    ) -> Placed:
        """Draw the turn (up to 20 degrees) and the side."""
        scale = (volume_ml / shape.volume_ml) ** (1 / 3)
        angle = math.radians(rng.uniform(-20, 20))
        return cls(shape, centre, scale, angle, bool(rng.random() < 0.5))

    @property
    def reach(self) -> Point:
        """Largest distance of the surface from the centre, mm."""
        half = [
            n * mm * self.scale / 2 + 3
            for n, mm in zip(self.shape.mask.shape, self.shape.spacing, strict=True)
        ]
        return half[0], math.hypot(*half[1:]), math.hypot(*half[1:])

    def field(self, at: Coordinates, rng: np.random.Generator) -> FloatArray:
        """Distance to the outline at thin layers, positive inside."""
        z, y, x = (
            (axis - np.float32(mid)) / np.float32(self.scale)
            for axis, mid in zip(at, self.centre, strict=True)
        )
        turned = x * math.cos(self.angle) - y * math.sin(self.angle)
        rows = y * math.cos(self.angle) + x * math.sin(self.angle)
        columns = -turned if self.mirrored else turned
        far = [math.ceil(_AROUND_MM / mm) for mm in self.shape.spacing[1:]]
        mask = np.pad(self.shape.mask, ((1, 1), (far[0], far[0]), (far[1], far[1])))
        middle = [(n - 1) / 2 for n in mask.shape]
        index = [
            axis / np.float32(mm) + np.float32(mid)
            for axis, mm, mid in zip((z, rows, columns), self.shape.spacing, middle, strict=True)
        ]
        distance = signed_distance(mask, self.shape.spacing[1:])
        inside = map_coordinates(
            distance, np.broadcast_arrays(*index), order=1, mode="nearest", output=np.float32
        )
        return inside * np.float32(self.scale)


@dataclass(frozen=True)
class Dural:
    """A bleed between skull and brain: crescent (subdural) or lens (epidural).

    Attributes
    ----------
    kind
        Decides proportions and profile.
    centre
        ``(z, y, x)`` mm of the point of the skull over the middle of the bleed.
    pivot
        ``(y, x)`` mm, middle of the brain; positions along the skull are angles around it.
    thickness, half_arc, half_height
        mm at the middle; half the length along the skull; half the extent in z.
    """

    kind: Literal["subdural", "epidural"]
    centre: Point
    pivot: tuple[float, float]
    thickness: float
    half_arc: float
    half_height: float

    @classmethod
    def draw(
        cls,
        rng: np.random.Generator,
        kind: Literal["subdural", "epidural"],
        site: Site,
        volume_ml: float,
    ) -> Dural | None:
        """Draw a place on the vault and proportions for a volume; None without a vault.

        Extent in z as fitted by FDA InSilicoICH: 10.38 ln(ml) + 24.48 mm (subdural),
        10.23 ln(ml) + 19.09 mm (epidural).
        """
        area = (site.depth > 0).sum(axis=(1, 2))
        height = np.cumsum(area > 0) / max((area > 0).sum(), 1)
        slices = np.flatnonzero((area > 0.6 * area.max()) & (height > 0.4))
        if len(slices) == 0:
            return None
        lens = kind == "epidural"
        slope, constant = (10.23, 19.09) if lens else (10.38, 24.48)
        extent = max(slope * math.log(volume_ml) + constant, 8.0)
        # Mean of the profile of `field` over its length and height.
        mean = (2 / 3 if lens else 4 / 5) * (2 / 3)
        section = volume_ml * 1000 / (extent * mean)
        aspect = rng.uniform(3.0, 4.5) if lens else rng.uniform(12.0, 20.0)
        thickness = math.sqrt(section / aspect)
        half_arc = section / thickness / 2
        z = int(rng.choice(slices))
        side = int(rng.choice([-1, 1]))
        rows, columns = np.nonzero(site.depth[z] > 0)
        edge = site.depth[z, rows, columns] < 1.5 * site.depth[z][site.depth[z] > 0].min()
        y = site.y[z, rows[edge], 0] - site.middle[0]
        x = site.x[z, 0, columns[edge]] - site.middle[1]
        # Away from the midline, where falx and sinuses hold the dura.
        lateral = np.flatnonzero(np.arctan2(side * x, np.abs(y)) > 0.6)
        if len(lateral) == 0:
            return None
        at = int(rng.choice(lateral))
        centre = (
            float(site.z[z, 0, 0]),
            float(y[at]) + site.middle[0],
            float(x[at]) + site.middle[1],
        )
        return cls(kind, centre, site.middle, thickness, half_arc, extent / 2)

    @property
    def reach(self) -> Point:
        """Largest distance of the bleed from its centre, mm."""
        flat = min(self.half_arc, 80.0) + self.thickness + 4
        return self.half_height + 2, flat, flat

    def field(self, at: Coordinates, depth: FloatArray, rng: np.random.Generator) -> FloatArray:
        """Distance to the inner surface at thin layers, positive towards the skull.

        ``depth`` is the distance to the skull at the same positions, mm.
        """
        z, y, x = at
        dy, dx = self.centre[1] - self.pivot[0], self.centre[2] - self.pivot[1]
        radius = math.hypot(dy, dx)
        y, x = y - np.float32(self.pivot[0]), x - np.float32(self.pivot[1])
        # Rotated so that the centre lies at angle 0.
        angle = np.arctan2(y * dx - x * dy, x * dx + y * dy)
        power = 2 if self.kind == "epidural" else 4
        along = 1 - np.abs(angle * np.float32(radius / self.half_arc)) ** power
        up = 1 - ((z - np.float32(self.centre[0])) / np.float32(self.half_height)) ** 2
        profile = np.where((along > 0) & (up > 0), along * up, np.minimum(along, up))
        # The dura keeps each side apart at the falx; the skull base is not the vault.
        vault = (x * math.copysign(1, dx) > 2) & (np.hypot(y, x) > radius / 2)
        profile = np.where(vault, profile, -1)
        rough = np.float32(0.12 if self.kind == "epidural" else 0.25) * fractal(
            rng, at, 15.0, smoothness=2.5
        )
        thickness = np.float32(self.thickness) * np.maximum(profile, -1)
        return thickness * (1 + rough * (profile > 0)) - depth


def skull_depth(
    brain: BoolArray, z: FloatArray, layers: int, step: tuple[float, float]
) -> FloatArray:
    """Distance to the border of the brain at thin layers of slices, mm.

    Interpolated between slices (Raya and Udupa 1990) and corrected for the slope of the
    skull against the slices.

    Parameters
    ----------
    brain
        ``(n, y, x)`` bool.
    z
        ``(n * layers, 1, 1)`` positions of the layers, mm.
    """
    flat = signed_distance(brain, step)
    if len(flat) == 1:
        return np.repeat(flat, layers, axis=0)
    thin = z.ravel()
    middle = thin.reshape(-1, layers).mean(axis=1)
    slope = np.gradient(flat, middle, axis=0)
    normal = flat / np.sqrt(1 + np.square(np.clip(slope, -3, 3)))
    at = np.clip(np.interp(thin, middle, np.arange(len(middle))), 0, len(middle) - 1)
    lower = np.minimum(at.astype(int), len(middle) - 2)
    share = (at - lower).astype(np.float32)[:, None, None]
    return normal[lower] * (1 - share) + normal[lower + 1] * share


def signed_distance(mask: BoolArray, step: tuple[float, float]) -> FloatArray:
    """Distance to the edge in every slice, mm, positive inside.

    Slices without any of the mask hold minus half of the largest distance, so that shapes
    interpolated between slices end in a dome.
    """
    out = np.empty(mask.shape, np.float32)
    empty = []
    for index, plane in enumerate(mask):
        if plane.any():
            out[index] = distance_transform_edt(plane, sampling=step)
            out[index] -= distance_transform_edt(~plane, sampling=step)
        else:
            empty.append(index)
    full = [index for index in range(len(mask)) if index not in empty]
    out[empty] = -max(float(out[full].max()) / 2, step[0]) if full else -step[0]
    return out
