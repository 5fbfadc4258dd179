"""Results out: every file appears whole or not at all."""

from __future__ import annotations

import contextlib
import csv
import errno
import gzip
import io
import json
import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import numpy.typing as npt

from napari_rsna_inpaint import STATEMENT
from napari_rsna_inpaint.errors import OutputFailed
from napari_rsna_inpaint.volume import Array, CTVolume

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
# A spreadsheet runs a cell that begins so as a formula; the second row is full-width.
_FORMULA_STARTS = tuple("=+-@\t\r\n|%" + "＝＋－＠")
_REASONS = {
    errno.ENOSPC: "the disk is full. Free some space",
    errno.EDQUOT: "the disk quota is used up. Free some space",
    errno.EFBIG: "the file is larger than allowed here. Choose another folder",
    errno.EROFS: "the disk is read-only. Choose another folder",
    errno.EACCES: "permission denied. Choose another folder",
    errno.EPERM: "permission denied. Choose another folder",
    errno.ENOENT: "the folder does not exist. Create it first",
    errno.ENOTDIR: "its folder is not a folder. Choose another",
    errno.EISDIR: "it is a folder. Choose a file name",
    errno.ENAMETOOLONG: "the file name is too long. Choose a shorter one",
}


def write_atomic(path: str | os.PathLike[str], content: bytes | bytearray | memoryview) -> Path:
    """Write a file so that a crash at any moment leaves the old one or the new one.

    Parameters
    ----------
    path
        Where to write; the folder must exist.
    content
        All bytes of the file.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    OutputFailed
        If it cannot be written: disk full, read-only, no permission.
    """
    return _write_whole(Path(path), lambda stream: stream.write(content))


def _write_whole(path: Path, write: Callable[[BinaryIO], Any]) -> Path:
    """Write a file by a function of its stream; it appears whole or not at all."""
    temporary = path.parent / f".{secrets.token_hex(8)}.tmp"
    try:
        with temporary.open("xb") as stream:
            write(stream)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as problem:
        reason = _REASONS.get(
            problem.errno or 0, "the disk reports an error. Choose another folder"
        )
        raise OutputFailed(f"{path.name} could not be written: {reason}.") from problem
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
    return path


def _sync_folder(folder: Path) -> None:
    """Make the renaming itself survive a power cut, where the system can."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def nifti_affine(volume: CTVolume) -> npt.NDArray[np.float64]:
    """Affine ``(4, 4)`` from the stored NIfTI axes to RAS mm.

    Parameters
    ----------
    volume
        Gives the grid; the affine of a NIfTI input comes back unchanged.
    """
    if volume.nifti_affine is not None:
        return volume.nifti_affine
    columns = [volume.affine[:, axis] for axis in volume.storage_axes]
    return _LPS_TO_RAS @ np.column_stack([*columns, volume.affine[:, 3]])


def write_nifti(path: str | os.PathLike[str], array: Array, volume: CTVolume) -> Path:
    """Write an array on the grid of a volume as NIfTI.

    Parameters
    ----------
    path
        Ends with ``.nii`` or ``.nii.gz``.
    array
        ``(z, y, x)`` like ``volume.hu``, read plane by plane; boolean arrays are written as
        uint8, with 1 for True, and 64-bit floats as float32.
    volume
        The volume the array belongs to.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    OutputFailed
        If the file cannot be written.
    ValueError
        If the array is not on the grid of the volume, or the name is no NIfTI name.
    """
    import nibabel as nib

    path = Path(path)
    if array.shape != volume.hu.shape:
        raise ValueError(f"array is {array.shape}, the volume {volume.hu.shape} (z, y, x)")
    if not path.name.endswith((".nii", ".nii.gz")):
        raise ValueError(f"a NIfTI file name ends with .nii or .nii.gz, not {path.suffix!r}")
    affine = nifti_affine(volume)
    header = nib.Nifti1Header()
    header.set_data_dtype(_stored_type(array.dtype))
    header.set_data_shape([array.shape[axis] for axis in volume.storage_axes])
    header.set_sform(affine, code="scanner")
    # A qform cannot hold shear, and a wrong one would contradict the sform.
    sheared = not _is_orthogonal(affine)
    header.set_qform(affine, code="unknown" if sheared else "scanner")
    header.set_xyzt_units("mm")
    header["descrip"] = STATEMENT.encode()
    header["magic"], header["vox_offset"] = b"n+1", 352
    header.set_slope_inter(1, 0)

    def write(stream: BinaryIO) -> None:
        stream.write(header.binaryblock + bytes(4))
        for plane in _stored_planes(array, volume.storage_axes):
            stream.write(plane.astype(header.get_data_dtype()).tobytes())

    if not path.name.endswith(".gz"):
        return _write_whole(path, write)

    def compress(stream: BinaryIO) -> None:
        # Without a name and a time stamp, the same result gives the same file.
        with gzip.GzipFile("", "wb", compresslevel=4, fileobj=stream, mtime=0) as packed:
            write(cast(BinaryIO, packed))

    return _write_whole(path, compress)


def _stored_planes(array: Array, axes: tuple[int, int, int]) -> Iterator[npt.NDArray[Any]]:
    """Planes of an array along the NIfTI axis that varies slowest, rows along the middle one."""
    fastest, middle, slowest = axes
    for index in range(array.shape[slowest]):
        key = [slice(None)] * 3
        key[slowest] = slice(index, index + 1)
        yield np.asarray(array[tuple(key)]).transpose(slowest, middle, fastest)[0]


def _stored_type(dtype: np.dtype) -> np.dtype:
    """Number type of a file: what NIfTI readers everywhere know."""
    usual = {"bool": "uint8", "float16": "float32", "float64": "float32"}
    usual |= {"int64": "int32", "uint64": "int32"}
    return np.dtype(usual.get(dtype.name, dtype))


def _is_orthogonal(affine: npt.NDArray[np.float64]) -> bool:
    directions = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    return bool(np.abs(directions.T @ directions - np.eye(3)).max() < 1e-5)


def write_json(path: str | os.PathLike[str], content: Any) -> Path:
    """Write JSON; numpy numbers and arrays become plain ones, NaN becomes null.

    Raises
    ------
    OutputFailed
        If the file cannot be written.
    """
    text = json.dumps(_plain(content), indent=2, ensure_ascii=False, allow_nan=False)
    return write_atomic(path, (text + "\n").encode())


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def write_csv(
    path: str | os.PathLike[str],
    rows: Iterable[Mapping[str, Any]],
    columns: Sequence[str],
) -> Path:
    """Write a table; text that a spreadsheet would run as a formula is made harmless.

    Parameters
    ----------
    path
        Where to write.
    rows
        One mapping a row; missing cells stay empty.
    columns
        Their names, in order.

    Raises
    ------
    OutputFailed
        If the file cannot be written.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
    writer.writerow([_harmless(column) for column in columns])
    for row in rows:
        writer.writerow([_cell(row.get(column)) for column in columns])
    return write_atomic(path, buffer.getvalue().encode())


def _cell(value: Any) -> Any:
    value = _plain(value)
    if value is None or isinstance(value, int | float):
        return "" if value is None else value
    return _harmless(str(value))


def _harmless(text: str) -> str:
    # Spreadsheets skip leading blanks before they look for a formula.
    return "'" + text if text.lstrip(" ").startswith(_FORMULA_STARTS) else text
