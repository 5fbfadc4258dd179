"""NIfTI images of brain MR: values, grid, and files that differ in some voxels only."""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_rsna_inpaint.errors import InputRefused
from napari_rsna_inpaint.io.nifti import nearest_axes
from napari_rsna_inpaint.io.write import write_atomic

#: Places may differ by this much between files of one grid, mm.
SAME_PLACE_MM = 1e-2


@dataclass(frozen=True)
class Image:
    """One volume as stored.

    Attributes
    ----------
    stored
        ``(i, j, k)`` numbers of the file, before its scaling.
    header
        Of the file, with its scaling.
    affine
        ``(4, 4)``, from stored indices to RAS mm.
    slope, inter
        Scaling: value = slope * stored + inter.
    """

    stored: npt.NDArray[Any]
    header: Any
    affine: npt.NDArray[np.float64]
    slope: float
    inter: float

    @property
    def values(self) -> npt.NDArray[np.float32]:
        """``(i, j, k)`` intensities."""
        return (self.stored * np.float64(self.slope) + self.inter).astype(np.float32)

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Distance of voxels along canonical ``(z, y, x)``, mm."""
        lengths = np.linalg.norm(self.affine[:3, :3], axis=0)
        z, y, x = nearest_axes(self.affine)
        return float(lengths[z]), float(lengths[y]), float(lengths[x])

    def to_canonical(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """View of an ``(i, j, k)`` array as ``(z, y, x)``: z to the head, y posterior, x left."""
        return array.transpose(nearest_axes(self.affine))[self._turns()]

    def from_canonical(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Undo `to_canonical`."""
        return array[self._turns()].transpose(np.argsort(nearest_axes(self.affine)))

    def _turns(self) -> tuple[slice, ...]:
        axes = nearest_axes(self.affine)
        # RAS: z must grow upwards, y and x against the axes
        wanted = (1, -1, -1)
        signs = [np.sign(self.affine[2 - n, axis]) for n, axis in enumerate(axes)]
        return tuple(
            slice(None, None, 1 if sign == want else -1)
            for sign, want in zip(signs, wanted, strict=True)
        )

    def to_stored(self, values: npt.NDArray[np.floating]) -> npt.NDArray[Any]:
        """Numbers that stand for intensities in a file of this scaling and number type."""
        numbers = (values.astype(np.float64) - self.inter) / self.slope
        if self.stored.dtype.kind == "f":
            return numbers.astype(self.stored.dtype)
        limits = np.iinfo(self.stored.dtype)
        return np.rint(numbers).clip(limits.min, limits.max).astype(self.stored.dtype)

    def same_grid(self, other: Image) -> bool:
        """Whether every voxel has the same place in both."""
        return self.stored.shape == other.stored.shape and np.allclose(
            self.affine, other.affine, atol=SAME_PLACE_MM
        )


def read_image(path: Path) -> Image:
    """Read one volume.

    Raises
    ------
    InputRefused
        If the file is missing, damaged, holds no single volume or values that are no numbers, or
        does not tell left from right.
    """
    import nibabel as nib

    if not path.is_file():
        raise InputRefused(f"There is no file {path.name}; complete the case.")
    try:
        file: Any = nib.load(path)
        stored = np.asarray(file.dataobj.get_unscaled())
        slope, inter = float(file.dataobj.slope), float(file.dataobj.inter)
        header = file.header.copy()
        coded = int(header["sform_code"]) > 0 or int(header["qform_code"]) > 0
    except (
        OSError,
        EOFError,
        ValueError,
        KeyError,
        zlib.error,
        AttributeError,
        nib.filebasedimages.ImageFileError,
        nib.spatialimages.HeaderDataError,
    ):
        raise InputRefused(f"{path.name} is no NIfTI file or is damaged; fetch it again.") from None
    if stored.ndim != 3 or stored.dtype.kind not in "iuf":
        raise InputRefused(f"{path.name} holds no single grey-level volume; fetch it again.")
    if not coded:
        raise InputRefused(
            f"{path.name} does not tell left from right (sform and qform codes are 0); fetch the "
            "original."
        )
    affine = np.asarray(file.affine, np.float64)
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-6:
        raise InputRefused(f"{path.name} has a singular affine; fetch the original.")
    if stored.dtype.kind == "f" and not np.isfinite(stored).all():
        raise InputRefused(f"{path.name} holds values that are not numbers; fetch it again.")
    header.set_slope_inter(slope, inter)
    return Image(stored, header, affine, slope, inter)


def write_image(path: Path, stored: npt.NDArray[Any], like: Image) -> Path:
    """Write numbers with the header of another image, whole or not at all.

    Equal numbers give equal files.

    Parameters
    ----------
    path
        Ends with ``.nii.gz``.
    stored
        ``(i, j, k)``; another number type than that of ``like`` is written without scaling.

    Raises
    ------
    OutputFailed
        If it cannot be written.
    """
    header = like.header.copy()
    if stored.dtype != like.stored.dtype:
        header.set_data_dtype(stored.dtype)
        header.set_slope_inter(1, 0)
    offset = header.single_vox_offset
    header["vox_offset"], header["magic"] = offset, header.single_magic
    numbers = stored.astype(header.get_data_dtype()).tobytes(order="F")
    head = bytes(header.binaryblock).ljust(offset, b"\0")
    return write_atomic(path, gzip.compress(head + numbers, 4, mtime=0))
