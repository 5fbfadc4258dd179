"""NIfTI in: one CT volume in Hounsfield units, or a clear reason why not."""

from __future__ import annotations

import gzip
import hashlib
import math
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_rsna_inpaint.errors import ChoiceNeeded, InputRefused
from napari_rsna_inpaint.volume import CTVolume, Note

AIR_HU = -1024
MAX_BYTES = 16 * 2**30
_CHUNK = 2**22
_RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
_FALLBACKS = {
    "LAS": (np.array([-1.0, 1.0, 1.0]), "left, anterior, superior (as nibabel reads it)"),
    "LPS": (np.array([-1.0, -1.0, 1.0]), "left, posterior, superior (as ITK reads it)"),
    "RAS": (np.array([1.0, 1.0, 1.0]), "right, anterior, superior"),
}

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class _Head:
    """The parts of a NIfTI header that matter here; numbers as stored."""

    shape: tuple[int, ...]
    dtype: np.dtype
    offset: int
    slope: float
    inter: float
    pixdim: tuple[float, ...]
    sform: Array | None
    qform: Array | None

    @property
    def byte_count(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def read_nifti(path: Path, choice: str | None = None) -> CTVolume:
    """Read a NIfTI file in Hounsfield units.

    The stored axes are only transposed, so that the first one is closest to head-foot.

    Parameters
    ----------
    path
        A ``.nii`` or ``.nii.gz`` file; what it is, is judged by its first bytes.
    choice
        Answer to an earlier `ChoiceNeeded`: number of the volume of a 4-D file (from 0), or
        the axis directions (such as ``"LAS"``) of a file that does not tell them; both as
        ``"0,LAS"``.

    Raises
    ------
    InputRefused
        If the file is damaged, absurd, or not in Hounsfield units.
    ChoiceNeeded
        If the file holds several volumes or does not tell left from right.
    """
    content = _read_all(path)
    head = _parse(content)
    volume_index, axes = _choices(head, choice)
    notes: list[Note] = []
    affine = _affine(head, axes, notes)
    source_id = hashlib.sha256(content).hexdigest()[:16]
    array = _to_hu(_voxels(content, head, volume_index), head, notes)
    del content
    return _volume(array, affine, notes, source_id, path)


def read_voxels(path: Path) -> tuple[npt.NDArray[Any], Array]:
    """Read a NIfTI file that is not in HU, such as a mask, with the same checks of its bytes.

    Returns
    -------
    Stored voxels in the order of the file, unscaled, and the affine ``(4, 4)`` to RAS mm.

    Raises
    ------
    InputRefused
        If the file is damaged or absurd.
    ChoiceNeeded
        If it does not tell left from right.
    """
    if not path.is_file():
        raise InputRefused(f"There is no file {path.name}. Check the path.")
    content = _read_all(path)
    head = _parse(content)
    volume_index, axes = _choices(head, None)
    return _voxels(content, head, volume_index), _affine(head, axes, [])


def _read_all(path: Path) -> memoryview:
    """All bytes, decompressed, in memory that may be written to.

    Reading gzip to its end also checks its checksum.
    """
    with path.open("rb") as stream:
        magic = stream.read(2)
    if magic != b"\x1f\x8b":
        if path.stat().st_size > MAX_BYTES:
            raise InputRefused(
                "The NIfTI file is larger than any CT volume. Choose a single series.", "too-large"
            )
        content = bytearray(path.stat().st_size)
        with path.open("rb") as stream:
            del content[stream.readinto(content) :]
        return memoryview(content)
    chunks = bytearray()
    expected = MAX_BYTES
    try:
        with gzip.open(path) as stream:
            while chunk := stream.read(_CHUNK):
                chunks += chunk
                if len(chunks) == len(chunk):
                    # What the header declares bounds how far a gzip bomb is followed.
                    head = _parse(memoryview(chunks), complete=False)
                    expected = head.offset + head.byte_count + _CHUNK
                if len(chunks) > expected:
                    raise InputRefused(
                        "The NIfTI file holds more data than its header declares. Fetch it again.",
                        "damaged",
                    )
    except (EOFError, zlib.error, OSError):
        raise InputRefused(
            "The NIfTI file is cut off or damaged (its compression checksum does not match). "
            "Fetch it again.",
            "damaged",
        ) from None
    return memoryview(chunks)


def _parse(content: memoryview, complete: bool = True) -> _Head:
    """Check and parse the header.

    Parameters
    ----------
    content
        Bytes from the start of the file.
    complete
        Whether ``content`` is the whole file, so that its length can be checked.
    """
    import nibabel as nib

    refused = InputRefused(
        "The file is not NIfTI, or its header is damaged. Fetch it again.", "damaged"
    )
    if len(content) < 352:
        raise refused
    header_class: type
    if 540 in (
        struct.unpack("<i", content[:4])[0],
        struct.unpack(">i", content[:4])[0],
    ):
        header_class, length = nib.Nifti2Header, 540
    else:
        header_class, length = nib.Nifti1Header, 348
    try:
        header = header_class(bytes(content[:length]), check=False)
        rank = int(header["dim"][0])
        sizes = [int(size) for size in header["dim"][1 : rank + 1]]
        dtype = header.get_data_dtype()
        offset = int(header["vox_offset"]) or length + 4
    except Exception:
        raise refused from None
    if bytes(header["magic"]).strip(b"\0")[:2] not in (b"n+", b"n\0"):
        raise refused
    if not 1 <= rank <= 7 or min(sizes, default=0) < 1:
        raise InputRefused(
            f"The NIfTI header declares impossible dimensions {sizes}. Fetch it again.",
            "dimensions",
        )
    shape = tuple(sizes + [1] * (3 - rank))
    head = _Head(
        shape=shape,
        dtype=dtype,
        offset=offset,
        slope=float(header["scl_slope"]),
        inter=float(header["scl_inter"]),
        pixdim=tuple(float(v) for v in header["pixdim"][1:4]),
        sform=header.get_sform() if header["sform_code"] > 0 else None,
        qform=_qform(header) if header["qform_code"] > 0 else None,
    )
    if head.byte_count > MAX_BYTES or (complete and len(content) < head.offset + head.byte_count):
        raise InputRefused(
            f"The NIfTI header declares {' x '.join(map(str, sizes))} voxels, more than the file "
            "holds: it is cut off or damaged. Fetch it again.",
            "dimensions",
        )
    return head


def _qform(header: Any) -> Array | None:
    try:
        return header.get_qform()
    except Exception:
        return None


def _choices(head: _Head, choice: str | None) -> tuple[int, str]:
    """Which volume and which fallback axes to use; asks where both are open."""
    answers = [part.strip().upper() for part in (choice or "").split(",") if part.strip()]
    numbers = [int(answer) for answer in answers if answer.isdecimal()]
    axes = [answer for answer in answers if answer in _FALLBACKS]
    if len(numbers) + len(axes) < len(answers):
        raise InputRefused(
            f"{choice!r} names no volume of this NIfTI file. Give a volume number (from 0) or "
            "axis directions such as LAS, and only if asked.",
            "unknown-choice",
        )
    volumes = math.prod(head.shape[3:])
    if volumes > 1 and not (numbers and numbers[0] < volumes):
        raise ChoiceNeeded(
            f"The NIfTI file holds {volumes} volumes. Name one by its number.",
            [f"{index}  volume {index + 1} of {volumes}" for index in range(volumes)],
            "several-volumes",
        )
    if head.sform is None and head.qform is None and not axes:
        raise ChoiceNeeded(
            "The NIfTI file does not tell left from right (sform and qform codes are 0). "
            "Name the directions of its axes if you know them.",
            [f"{name}  {meaning}" for name, (_, meaning) in _FALLBACKS.items()],
            "orientation-unknown",
        )
    return (numbers[0] if volumes > 1 else 0), (axes[0] if axes else "")


def _affine(head: _Head, axes: str, notes: list[Note]) -> Array:
    """Affine from stored indices to RAS mm."""
    usable = [a for a in (head.sform, head.qform) if a is not None and _is_regular(a)]
    if head.sform is None and head.qform is None:
        return _fallback(head, axes, notes)
    if not usable:
        raise InputRefused(
            "The NIfTI affine is singular or not finite, so no position or size is known. "
            "Convert the series again from DICOM.",
            "singular-affine",
        )
    if head.sform is not None and not _is_regular(head.sform):
        notes.append(Note("sform-unusable", "The sform is singular; the qform was used."))
    elif len(usable) == 2:
        notes += _conflict(usable[0], usable[1], head.shape)
    if any(not math.isfinite(v) or v <= 0 for v in head.pixdim):
        notes.append(
            Note("bad-pixdim", "Voxel sizes in the header are not positive; the affine was used.")
        )
    affine = usable[0]
    directions = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    skew = float(np.abs(directions.T @ directions - np.eye(3)).max())
    if skew > 1e-3:
        notes.append(
            Note(
                "sheared",
                f"The voxel axes are sheared by {np.degrees(np.arcsin(min(skew, 1.0))):.1f} "
                "degrees; positions and volumes take it into account.",
            )
        )
    return affine


def _fallback(head: _Head, axes: str, notes: list[Note]) -> Array:
    if any(not math.isfinite(v) or v <= 0 for v in head.pixdim):
        raise InputRefused(
            "The NIfTI file has neither an affine nor voxel sizes. "
            "Convert the series again from DICOM.",
            "no-voxel-size",
        )
    signs, meaning = _FALLBACKS[axes]
    affine = np.diag([*(signs * head.pixdim), 1.0])
    notes.append(Note("orientation-chosen", f"Axis directions were chosen by the user: {meaning}."))
    return affine


def _is_regular(affine: Array) -> bool:
    if not np.isfinite(affine).all():
        return False
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    if lengths.min() < 1e-4:
        return False
    return bool(abs(np.linalg.det(affine[:3, :3] / lengths)) > 1e-3)


def _disagreement_mm(first: Array, second: Array, shape: tuple[int, ...]) -> float:
    """Largest distance between the two places of the same corner voxel."""
    corners = np.array(np.meshgrid(*[[0, size - 1] for size in shape[:3]])).reshape(3, -1)
    homogeneous = np.vstack([corners, np.ones(corners.shape[1])])
    return float(np.linalg.norm(((first - second) @ homogeneous)[:3], axis=0).max())


def _conflict(sform: Array, qform: Array, shape: tuple[int, ...]) -> list[Note]:
    apart = _disagreement_mm(sform, qform, shape)
    if apart <= max(0.05, 0.1 * np.linalg.norm(sform[:3, :3], axis=0).min()):
        return []
    message = f"sform and qform place the volume differently (up to {apart:.1f} mm)"
    return [Note("sform-qform-differ", f"{message}; the sform was used.")]


def _voxels(content: memoryview, head: _Head, volume_index: int) -> npt.NDArray[Any]:
    """View the stored values ``(i, j, k)`` of one volume."""
    count = math.prod(head.shape[:3])
    if head.dtype.kind not in "iuf":
        raise InputRefused(
            "The NIfTI file holds colours or complex numbers. Choose a CT volume.", "not-hu"
        )
    start = head.offset + volume_index * count * head.dtype.itemsize
    stored = np.frombuffer(content, head.dtype, count, start)
    return stored.reshape(head.shape[:3], order="F")


def _to_hu(stored: npt.NDArray[Any], head: _Head, notes: list[Note]) -> npt.NDArray[Any]:
    """Hounsfield units ``(i, j, k)``, int16 where exact; ``stored`` may be used up for them."""
    slope, inter = _scaling(head, notes)
    if stored.dtype.kind == "f":
        stored = _without_nonfinite(stored, notes)
    low, high = float(stored.min()) * slope + inter, float(stored.max()) * slope + inter
    low, high = min(low, high), max(low, high)
    _check_range(low, high, head)
    whole = stored.dtype.kind in "iu" or bool((stored == np.trunc(stored)).all())
    exact = whole and slope.is_integer() and inter.is_integer()
    if exact and low >= -32768 and high <= 32767:
        # A series of a thousand slices has no room for a second copy.
        out = stored if stored.dtype == np.int16 else np.empty_like(stored, np.int16)
        if (slope, inter) == (1.0, 0.0) and out is stored:
            return out
        for plane in range(stored.shape[2]):
            values = stored[..., plane].astype(np.int32)
            out[..., plane] = values * int(slope) + int(inter)
        return out
    if (slope, inter) == (1.0, 0.0):
        return stored.astype(np.float32)
    scaled = stored.astype(np.float64)
    scaled *= slope
    scaled += inter
    return scaled.astype(np.float32)


def _scaling(head: _Head, notes: list[Note]) -> tuple[float, float]:
    if math.isfinite(head.slope) and head.slope != 0 and math.isfinite(head.inter):
        return head.slope, head.inter
    # A NaN pair is how common writers say "no scaling"; anything else half-said is suspicious.
    if not (math.isnan(head.slope) and math.isnan(head.inter)) and (
        head.slope != 0 or head.inter != 0
    ):
        notes.append(
            Note(
                "scaling-ignored",
                f"The header's scaling (slope {head.slope:g}, intercept {head.inter:g}) is not "
                "valid and was ignored, as the NIfTI standard says.",
            )
        )
    return 1.0, 0.0


def _without_nonfinite(stored: npt.NDArray[Any], notes: list[Note]) -> npt.NDArray[Any]:
    bad = ~np.isfinite(stored)
    count = int(np.count_nonzero(bad))
    if not count:
        return stored
    stored = stored.copy(order="K")
    stored[bad] = AIR_HU
    notes.append(
        Note("non-finite", f"{count:,} voxels were not numbers and were set to air ({AIR_HU} HU).")
    )
    return stored


def _check_range(low: float, high: float, head: _Head) -> None:
    remedy = "Convert the series again from DICOM with its rescale applied."
    if low >= 0 and (head.dtype.itemsize == 1 or high <= 255):
        raise InputRefused(
            f"The values ({low:g} to {high:g}) are grey levels, not Hounsfield units. {remedy}",
            "not-hu",
        )
    if low > -200 or high > 65535 or low < -32768:
        raise InputRefused(
            f"The values ({low:g} to {high:g}) are no Hounsfield units: air is missing or they "
            f"are out of range. {remedy}",
            "not-hu",
        )


def nearest_axes(affine: Array) -> tuple[int, int, int]:
    """Stored axes nearest to head-foot, front-back and left-right, in the order ``(z, y, x)``.

    ``affine`` is ``(4, 4)``, from stored indices to RAS mm.
    """
    import nibabel as nib

    x, y, z = (int(axis) for axis in np.argsort(nib.io_orientation(affine)[:, 0]))
    return z, y, x


def _volume(
    array: npt.NDArray[Any], affine: Array, notes: list[Note], source_id: str, path: Path
) -> CTVolume:
    order = nearest_axes(affine)
    hu = np.ascontiguousarray(array.transpose(order))
    lps = _RAS_TO_LPS @ affine
    mapped = np.column_stack([lps[:, order[0]], lps[:, order[1]], lps[:, order[2]], lps[:, 3]])
    steps = np.arange(hu.shape[0])[:, None]
    storage = np.argsort(order)
    return CTVolume(
        hu=hu,
        affine=mapped,
        positions=mapped[:3, 3] + steps * mapped[:3, 0],
        notes=tuple(notes),
        slice_ids=tuple(f"{path.name}[{index}]" for index in range(hu.shape[0])),
        source_id=source_id,
        storage_axes=(int(storage[0]), int(storage[1]), int(storage[2])),
        nifti_affine=affine,
    )
