"""The one description of a CT series that everything else works on."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

Outcome = Literal["ok", "note", "ask", "refused"]


class Array(Protocol):
    """What numpy's arrays have in common with images that are computed plane by plane."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of every axis."""

    @property
    def dtype(self) -> np.dtype:
        """Type of the values."""

    def __getitem__(self, key: Any, /) -> Any: ...

    def __array__(self) -> npt.NDArray: ...

    def astype(self, dtype: Any, /) -> Any:
        """The same values as another type."""


@dataclass(frozen=True)
class Note:
    """Something a reader of the images should know; it travels with the volume.

    Attributes
    ----------
    code
        Stable short name, for example ``"gantry-tilt"``.
    message
        One sentence for a person, with the measured numbers.
    """

    code: str
    message: str


@dataclass(frozen=True)
class CTVolume:
    """One CT series in Hounsfield units on its native grid.

    Attributes
    ----------
    hu
        ``(z, y, x)`` int16 or float32, Hounsfield units. Never rescaled or flipped:
        for DICOM the rows and columns are those of the file and ``z`` follows the
        slice normal ``cross(row direction, column direction)``; for NIfTI the stored
        axes are only transposed.
    affine
        ``(4, 4)`` float64. Maps an array index ``(z, y, x, 1)`` to patient
        coordinates in LPS mm (x to the left, y to the posterior, z to the head).
        Keeps gantry tilt as shear. With uneven slice spacing its first column holds the
        mean step and ``positions`` holds the truth.
    positions
        ``(n_slices, 3)`` LPS mm of the centre of voxel ``[z, 0, 0]`` of every slice.
    notes
        What was noticed while reading.
    slice_ids
        One name per slice: SOP instance UID, or file name and index.
    source_id
        Pseudonymous identity of the series (a hash); safe to log and to export.
    description
        Series description free of patient identifiers, or an empty string.
    storage_axes
        Order in which the axes of ``hu`` are written to NIfTI; ``(2, 1, 0)`` gives the
        usual ``(x, y, z)``.
    nifti_affine
        ``(4, 4)`` affine of the NIfTI file the volume was read from, in RAS mm, to be
        written back unchanged; None for DICOM.
    """

    hu: npt.NDArray[np.int16] | npt.NDArray[np.float32]
    affine: npt.NDArray[np.float64]
    positions: npt.NDArray[np.float64]
    notes: tuple[Note, ...] = ()
    slice_ids: tuple[str, ...] = ()
    source_id: str = ""
    description: str = ""
    storage_axes: tuple[int, int, int] = (2, 1, 0)
    nifti_affine: npt.NDArray[np.float64] | None = field(default=None)

    def __post_init__(self) -> None:
        if self.hu.ndim != 3:
            raise ValueError(f"hu must be (z, y, x), got shape {self.hu.shape}")
        if self.affine.shape != (4, 4):
            raise ValueError(f"affine must be (4, 4), got {self.affine.shape}")
        if self.positions.shape != (self.hu.shape[0], 3):
            raise ValueError(
                f"positions must be ({self.hu.shape[0]}, 3), got {self.positions.shape}"
            )

    @property
    def normal(self) -> npt.NDArray[np.float64]:
        """Unit vector (LPS) perpendicular to the slices, along increasing ``z``."""
        normal = np.cross(self.affine[:3, 2], self.affine[:3, 1])
        normal /= np.linalg.norm(normal)
        return normal if normal @ self.affine[:3, 0] >= 0 else -normal

    @property
    def slice_z_mm(self) -> npt.NDArray[np.float64]:
        """``(n_slices,)`` position of every slice along the normal, mm, increasing."""
        return self.positions @ self.normal

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Voxel size ``(z, y, x)`` in mm; ``z`` is the mean distance along the normal.

        The product is the true mean voxel volume, also with gantry tilt.
        """
        z = abs(float(self.affine[:3, 0] @ self.normal))
        y, x = (float(np.linalg.norm(self.affine[:3, axis])) for axis in (1, 2))
        return z, y, x

    @property
    def slice_extent_mm(self) -> npt.NDArray[np.float64]:
        """``(n_slices,)`` mm along the normal that each slice stands for.

        Half the distance to each neighbour; the ends count their inner gap twice.
        """
        z = self.slice_z_mm
        if len(z) < 2:
            return np.full(len(z), self.spacing[0])
        gaps = np.abs(np.diff(z))
        return (np.append(gaps[0], gaps) + np.append(gaps, gaps[-1])) / 2

    @property
    def voxel_volumes_ml(self) -> npt.NDArray[np.float64]:
        """``(n_slices,)`` volume of one voxel of each slice, ml."""
        _, y, x = self.spacing
        return self.slice_extent_mm * y * x / 1000.0

    @property
    def canonical_flips(self) -> tuple[int, ...]:
        """Array axes that run against head, posterior or left (LPS positive)."""
        directions = (self.affine[2, 0], self.affine[1, 1], self.affine[0, 2])
        return tuple(axis for axis, step in enumerate(directions) if step < 0)

    def to_canonical(self, array: npt.NDArray) -> npt.NDArray:
        """View of an array on this grid with z to the head, y posterior, x left."""
        return np.flip(array, self.canonical_flips)

    # Flipping twice is the identity, so the way back is the same operation.
    from_canonical = to_canonical

    def canonical_slice(self, z: int) -> int:
        """Index of slice ``z`` after `to_canonical`; the way back is the same."""
        return len(self.hu) - 1 - z if 0 in self.canonical_flips else z

    def slabs(self, thickness_mm: float) -> list[slice]:
        """Neighbouring slices in groups of equal number, each at least so thick.

        Slices of `to_canonical`, from below; the topmost group may be thinner.
        """
        n = len(self.hu)
        count = max(1, int(np.ceil(thickness_mm / max(self.spacing[0], 1e-3) - 0.01)))
        return [slice(start, min(start + count, n)) for start in range(0, n, count)]

    def finite(self) -> CTVolume:
        """The volume itself, or one with air (-1024 HU) and a note where HU are not finite."""
        if self.hu.dtype.kind != "f":
            return self
        bad = ~np.isfinite(self.hu)
        if not bad.any():
            return self
        message = f"{int(bad.sum())} voxels without a finite value were set to -1024 HU."
        notes = (*self.notes, Note("non-finite", message))
        return replace(self, hu=np.where(bad, np.float32(-1024), self.hu), notes=notes)

    def to_patient(self, index_zyx: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Patient position (LPS mm) of continuous array indices ``(..., 3)``."""
        index = np.asarray(index_zyx, dtype=np.float64)
        slices = np.arange(len(self.positions))
        origin = np.stack(
            [np.interp(index[..., 0], slices, self.positions[:, axis]) for axis in range(3)], -1
        )
        return origin + index[..., 1:] @ self.affine[:3, 1:3].T
