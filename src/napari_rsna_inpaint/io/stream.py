"""DICOM bytes: open, inflate with bounds, parse, and check that the pixels are all there."""

from __future__ import annotations

import os
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any, BinaryIO

import pydicom
from pydicom.config import disable_value_validation

from napari_rsna_inpaint.io.elements import integer, text
from napari_rsna_inpaint.io.scan import Source

_DEFLATED = b"1.2.840.10008.1.2.1.99"
_EXPLICIT = b"1.2.840.10008.1.2.1"
_JPEG_FAMILY = "1.2.840.10008.1.2.4."
# Up to this size nothing harms; beyond it, growth is bounded.
_INFLATE_FREE = 64 * 2**20
_INFLATE_LIMIT = 2 * 2**30
_INFLATE_RATIO = 200


class NotReadableError(Exception):
    """A file that is not a usable DICOM object; the text says why."""


@contextmanager
def tolerant() -> Iterator[None]:
    """Read values that break the letter of the standard, such as ``ID_...`` UIDs."""
    with disable_value_validation(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def open_dicom(source: Source) -> BinaryIO:
    """Open a DICOM stream; a deflated one is inflated with a bound on its growth.

    Raises
    ------
    NotReadableError
        If the deflated content grows beyond what an image can.
    """
    stream = source.open()
    start = stream.read(4096)
    stream.seek(0)
    if start[128:132] != b"DICM" or _DEFLATED not in start:
        return stream
    with stream:
        content = stream.read()
    (meta_length,) = struct.unpack("<L", content[140:144])
    body = 144 + meta_length
    limit = min(max(_INFLATE_FREE, _INFLATE_RATIO * source.size), _INFLATE_LIMIT)
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        inflated = inflater.decompress(content[body:], limit)
    except zlib.error:
        raise NotReadableError("the deflated content is damaged") from None
    if inflater.unconsumed_tail:
        raise NotReadableError(f"the deflated content grows beyond {limit // 2**20} MiB")
    plain = _EXPLICIT.ljust(len(_DEFLATED), b"\0")
    return BytesIO(content[:body].replace(_DEFLATED, plain) + inflated)


def read_dataset(stream: BinaryIO, **options: Any) -> pydicom.FileDataset:
    """Parse a stream with every failure of a damaged file as ``NotReadableError``."""
    try:
        return pydicom.dcmread(stream, force=True, **options)
    except RecursionError:
        raise NotReadableError("its sequences are nested too deeply") from None
    except MemoryError:
        raise NotReadableError("an element is larger than the memory") from None
    except Exception:
        raise NotReadableError("the DICOM header is damaged") from None


def looks_like_dicom(stream: BinaryIO) -> bool:
    """Whether a stream begins like DICOM, with or without the preamble."""
    start = stream.read(132)
    stream.seek(0)
    if start[128:132] == b"DICM":
        return True
    # Without a preamble the first element must be an early one of group 2 or 8.
    if len(start) < 8:
        return False
    return any(
        group in (2, 8) and element <= 0x18
        for group, element in (struct.unpack(order + "HH", start[:4]) for order in "<>")
    )


def check_pixel_element(stream: BinaryIO, dataset: pydicom.Dataset) -> tuple[bool, str]:
    """Tell whether pixel data follow, and whether they are all there."""
    start = stream.tell()
    end = stream.seek(0, os.SEEK_END)
    stream.seek(start)
    head = stream.read(12)
    little = dataset.original_encoding[1] is not False
    order = "<" if little else ">"
    if len(head) < 8 or struct.unpack(order + "HH", head[:4]) != (0x7FE0, 0x0010):
        return False, ""
    implicit = bool(dataset.original_encoding[0])
    offset, size_at = (8, 4) if implicit else (12, 8)
    length = struct.unpack(order + "L", head[size_at : size_at + 4])[0]
    available = end - start - offset
    if length == 0xFFFFFFFF:
        stream.seek(start + offset)
        return True, _check_fragments(stream, end, text(dataset.file_meta, "TransferSyntaxUID"))
    bits = integer(dataset, "BitsAllocated", 16) * integer(dataset, "SamplesPerPixel", 1)
    pixels = integer(dataset, "Rows", 0) * integer(dataset, "Columns", 0)
    expected = pixels * integer(dataset, "NumberOfFrames", 1) * bits // 8
    present = min(length, available)
    if present < expected:
        return True, f"its pixel data are cut off ({present:,} of {expected:,} bytes)"
    return True, ""


def _check_fragments(stream: BinaryIO, end: int, syntax: str) -> str:
    """Walk the fragments of compressed pixel data; say what is wrong with them, or nothing."""
    early = "its compressed pixel data end early"
    tail = b""
    while True:
        item = stream.read(8)
        if len(item) < 8:
            return early
        mark, length = struct.unpack("<4sL", item)
        if mark == b"\xfe\xff\xdd\xe0":
            break
        after = stream.tell() + length
        if mark != b"\xfe\xff\x00\xe0" or after > end:
            return early
        if length:
            stream.seek(max(stream.tell(), after - 16))
            tail = stream.read(after - stream.tell())
        stream.seek(after)
    # Decoding a stream without its end marker is slow and gives wrong pixels silently.
    if syntax.startswith(_JPEG_FAMILY) and b"\xff\xd9" not in tail:
        return early
    return ""
