"""DICOM files inside a zip, read in place: nothing is ever written to disk."""

from __future__ import annotations

import zipfile
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from napari_rsna_inpaint.errors import InputRefused
from napari_rsna_inpaint.io.scan import Skipped, Source

MAX_ENTRIES = 20_000
MAX_BYTES = 20 * 2**30
MAX_ENTRY_BYTES = 4 * 2**30
MAX_RATIO = 200
# A blank slice rightly shrinks a thousandfold; a bomb needs far more bytes than a slice.
_RATIO_FREE_BYTES = 2**20
_SYMLINK = 0o120000


def zip_sources(path: Path) -> tuple[list[Source], list[Skipped]]:
    """List the files inside a zip archive, after checking that it is no trap.

    Entry names are only shown, never used as a path.

    Parameters
    ----------
    path
        The archive.

    Returns
    -------
    tuple
        The files in name order, and what was skipped.

    Raises
    ------
    InputRefused
        If the archive is damaged, encrypted, nested, or would expand beyond all measure.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError):
        raise InputRefused("The zip archive is damaged. Fetch it again.") from None
    _check(entries)
    sources, skipped = [], []
    for entry in sorted(entries, key=lambda entry: entry.filename):
        name = entry.filename
        if (entry.external_attr >> 16) & 0o170000 == _SYMLINK:
            skipped.append(Skipped(name, "symbolic link (not followed)"))
        else:
            sources.append(_source(path, entry))
    return sources, skipped


def _check(entries: list[zipfile.ZipInfo]) -> None:
    if len(entries) > MAX_ENTRIES:
        raise InputRefused(
            f"The zip archive holds more than {MAX_ENTRIES:,} files. Pack one study only."
        )
    if sum(entry.file_size for entry in entries) > MAX_BYTES:
        raise InputRefused(
            f"The zip archive expands to more than {MAX_BYTES // 2**30} GiB. Pack one study only."
        )
    for entry in entries:
        if entry.flag_bits & 1:
            raise InputRefused("The zip archive is encrypted. Unpack it and choose the folder.")
        if entry.filename.casefold().endswith((".zip", ".tar", ".tgz", ".7z", ".rar")):
            raise InputRefused(
                "The zip archive holds another archive. Unpack it and choose the folder."
            )
        if entry.file_size > MAX_ENTRY_BYTES or (
            entry.file_size > _RATIO_FREE_BYTES
            and entry.file_size > MAX_RATIO * max(entry.compress_size, 1)
        ):
            raise InputRefused(
                "The zip archive expands far beyond what images do (a zip bomb). "
                "Do not open it; fetch the series from its source."
            )


def _source(path: Path, entry: zipfile.ZipInfo) -> Source:
    def open_entry() -> BinaryIO:
        try:
            with zipfile.ZipFile(path) as archive, archive.open(entry) as stream:
                # The size in the directory may lie, so never read further than it says.
                content = stream.read(entry.file_size + 1)
        except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError) as problem:
            raise OSError("damaged zip entry") from problem
        if len(content) > entry.file_size:
            raise OSError("zip entry larger than declared")
        return BytesIO(content)

    return Source(entry.filename, entry.file_size, open_entry)
