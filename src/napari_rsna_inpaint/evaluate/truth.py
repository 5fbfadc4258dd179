"""Bleeds outlined pixel by pixel."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_rsna_inpaint.detection.files import read_region
from napari_rsna_inpaint.errors import InputRefused
from napari_rsna_inpaint.evaluate.candidates import components, pixels_by_slice
from napari_rsna_inpaint.evaluate.cases import Case, SliceTruth
from napari_rsna_inpaint.evaluate.subtypes import SUBTYPES
from napari_rsna_inpaint.volume import CTVolume


@dataclass(frozen=True)
class PixelTruth:
    """Outlines of one scan.

    Attributes
    ----------
    lesions
        ``(z, y, x)`` int32, ``k`` in lesion ``k`` (26 neighbours), counted from 1, else 0.
    known
        ``(z,)`` bool, slices whose truth is known.
    volumes_ml
        ``(n,)`` of the lesions.
    subtypes
        ``(n,)`` names, ``"mixed"`` where the slices of a lesion do not agree on one.
    """

    lesions: npt.NDArray[np.int32]
    known: npt.NDArray[np.bool_]
    volumes_ml: npt.NDArray[np.float64]
    subtypes: tuple[str, ...]


def read_truth(
    folder: Path | None, case: Case, volume: CTVolume, labels: SliceTruth
) -> PixelTruth | None:
    """Outlines of a scan from a folder, or None where there are none.

    ``SERIES.nii.gz`` on the scan's own grid (slashes as folders or as ``_``), or an image
    ``SLICE_ID.png`` of rows and columns like the slice; lesion where not 0. Slices labelled
    without bleed have an empty truth; those with a bleed but no image are not known.

    Raises
    ------
    InputRefused
        If a file is damaged or lies on another grid.
    """
    mask, known = _read_masks(folder, case, volume) if folder else (None, None)
    clear = labels.bleed == 0
    if mask is None or known is None:
        if not clear.all():
            return None
        mask, known = np.zeros(volume.hu.shape, bool), clear
    return pixel_truth(mask, known | clear, volume, labels)


def pixel_truth(
    mask: npt.NDArray[np.bool_],
    known: npt.NDArray[np.bool_],
    volume: CTVolume,
    labels: SliceTruth,
) -> PixelTruth:
    """Part a ``(z, y, x)`` mask into lesions; ``known`` is ``(z,)``."""
    lesions, n = components(mask & known[:, None, None])
    pixels = pixels_by_slice(lesions, n)
    volumes = pixels @ volume.voxel_volumes_ml
    names = tuple(_subtype(labels.subtypes[row > 0]) for row in pixels)
    return PixelTruth(lesions, known, volumes, names)


def _subtype(flags: npt.NDArray[np.int8]) -> str:
    """The one subtype that all slices ``(n, 5)`` of a lesion agree on."""
    present = np.flatnonzero((flags == 1).any(0))
    return SUBTYPES[present[0]] if len(present) == 1 else "mixed"


def has_outlines(folder: Path | None, case: Case) -> bool:
    """Whether the folder holds anything for a scan."""
    if folder is None:
        return False
    return _nifti(folder, case) is not None or any(
        _image(folder, name).is_file() for name in case.slices
    )


def _nifti(folder: Path, case: Case) -> Path | None:
    names = (case.name, case.name.replace("/", "_"), case.name.rpartition("/")[2])
    paths = [folder / f"{name}{suffix}" for name in names for suffix in (".nii.gz", ".nii")]
    return next((path for path in paths if path.is_file()), None)


def _image(folder: Path, slice_id: str) -> Path:
    return folder / f"{Path(slice_id).name}.png"


def _read_masks(
    folder: Path, case: Case, volume: CTVolume
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]] | tuple[None, None]:
    nifti = _nifti(folder, case)
    if nifti is not None:
        return read_region(nifti, volume), np.ones(len(volume.hu), bool)
    mask = np.zeros(volume.hu.shape, bool)
    known = np.zeros(len(mask), bool)
    for z, name in enumerate(volume.slice_ids):
        path = _image(folder, name)
        if path.is_file():
            mask[z], known[z] = _read_image(path, mask[z].shape), True
    return (mask, known) if known.any() else (None, None)


def _read_image(path: Path, shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    import imagecodecs

    try:
        pixels = np.asarray(imagecodecs.png_decode(path.read_bytes()))
    except (OSError, RuntimeError, ValueError) as error:
        raise InputRefused(f"The mask {path.name} cannot be read as a PNG image.") from error
    if pixels.ndim == 3:
        pixels = pixels[..., :3].max(-1)
    if pixels.shape != shape:
        raise InputRefused(
            f"The mask {path.name} has {pixels.shape[0]} rows and {pixels.shape[1]} columns, "
            f"the slice {shape[0]} and {shape[1]}."
        )
    return pixels != 0
