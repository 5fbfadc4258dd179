"""What the rest of the package needs to know about one DICOM slice, from its header alone."""

from __future__ import annotations

import hashlib
import math
import os
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.config import disable_value_validation

from napari_rsna_inpaint.io.scan import Source

PHASE_KEYWORDS = (
    "AcquisitionNumber",
    "ConvolutionKernel",
    "ImageType",
    "KVP",
    "ContrastBolusAgent",
    "StackID",
    "TemporalPositionIdentifier",
    "TemporalPositionIndex",
    "SliceThickness",
    "AcquisitionTime",
    "ContentTime",
)
_KEYWORDS = (
    *PHASE_KEYWORDS,
    "SpecificCharacterSet",
    "SOPClassUID",
    "SOPInstanceUID",
    "Modality",
    "SeriesDescription",
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "AccessionNumber",
    "ReferringPhysicianName",
    "BodyPartExamined",
    "SpacingBetweenSlices",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "InstanceNumber",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "PixelSpacing",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "RescaleIntercept",
    "RescaleSlope",
    "RescaleType",
    "LossyImageCompression",
    "LossyImageCompressionRatio",
    "ModalityLUTSequence",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
    "ConcatenationUID",
)
DEFLATED = "1.2.840.10008.1.2.1.99"
MAX_HEADER_BYTES = 64 * 2**20
_INFLATE_FREE = 64 * 2**20
_INFLATE_LIMIT = 2 * 2**30
_INFLATE_RATIO = 200


class NotReadable(Exception):
    """A file that is not a usable DICOM object; the text says why."""


@dataclass(frozen=True)
class Header:
    """One CT slice (a file, or one frame of a multi-frame file) without its pixels.

    Lengths are in mm, directions and positions in LPS; None where the file is silent.
    """

    source: Source
    frame: int | None
    frames: int
    sop_class: str
    sop_uid: str
    modality: str
    image_type: tuple[str, ...]
    patient: str
    study_uid: str
    series_uid: str
    description: str
    body_part: str
    rows: int
    columns: int
    samples: int
    bits_allocated: int
    bits_stored: int
    signed: bool
    spacing: tuple[float, float] | None
    position: npt.NDArray[np.float64] | None
    orientation: npt.NDArray[np.float64] | None
    instance_number: int | None
    thickness: float | None
    spacing_between: float | None
    kernel: str
    phase: tuple[tuple[str, str], ...]
    slope: float | None
    intercept: float | None
    rescale_type: str
    has_lut: bool
    padding: tuple[int, int] | None
    lossy_ratio: str | None
    transfer_syntax: str
    has_pixels: bool
    pixel_problem: str

    @property
    def label(self) -> str:
        """Name of the slice: its SOP instance UID, or file name and index."""
        name = self.sop_uid or self.source.name.rpartition("/")[2]
        if self.frame is not None:
            return f"{name}[{self.frame}]"
        return name if self.sop_uid else f"{name}[0]"


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
    NotReadable
        If the deflated content grows beyond what an image can.
    """
    stream = source.open()
    start = stream.read(4096)
    stream.seek(0)
    if start[128:132] != b"DICM" or DEFLATED.encode() not in start:
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
        raise NotReadable("the deflated content is damaged") from None
    if inflater.unconsumed_tail:
        raise NotReadable(f"the deflated content grows beyond {limit // 2**20} MiB")
    plain = b"1.2.840.10008.1.2.1".ljust(len(DEFLATED), b"\0")
    return BytesIO(content[:body].replace(DEFLATED.encode(), plain) + inflated)


def read_dataset(stream: BinaryIO, **options: Any) -> pydicom.FileDataset:
    """Parse a stream with every failure of a damaged file as ``NotReadable``."""
    try:
        return pydicom.dcmread(stream, force=True, **options)
    except RecursionError:
        raise NotReadable("its sequences are nested too deeply") from None
    except MemoryError:
        raise NotReadable("an element is larger than the memory") from None
    except Exception:
        raise NotReadable("the DICOM header is damaged") from None


def read_headers(source: Source) -> list[Header]:
    """Read the header of one file: one entry, or one for each frame.

    Raises
    ------
    NotReadable
        If the file is not a DICOM object or is damaged.
    """
    with tolerant(), open_dicom(source) as stream:
        if not _looks_like_dicom(stream):
            raise NotReadable("not a DICOM file")
        dataset = read_dataset(stream, stop_before_pixels=True, specific_tags=list(_KEYWORDS))
        has_pixels, problem = _check_pixel_element(stream, dataset)
        header = _parse(source, dataset, has_pixels, problem)
        if header.frames <= 1 and "PerFrameFunctionalGroupsSequence" not in dataset:
            return [header]
        from napari_rsna_inpaint.io.multiframe import split_frames

        return split_frames(header, dataset)


def _looks_like_dicom(stream: BinaryIO) -> bool:
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


def _check_pixel_element(stream: BinaryIO, dataset: pydicom.Dataset) -> tuple[bool, str]:
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
        stream.seek(max(start, end - 32))
        complete = b"\xfe\xff\xdd\xe0" in stream.read(32)
        return True, "" if complete else "its compressed pixel data end early"
    expected = length
    try:
        bits = int(dataset.BitsAllocated) * int(dataset.get("SamplesPerPixel") or 1)
        frames = int(dataset.get("NumberOfFrames") or 1)
        expected = int(dataset.Rows) * int(dataset.Columns) * frames * bits // 8
    except (AttributeError, TypeError, ValueError):
        pass
    present = min(length, available)
    if present < expected:
        return True, f"its pixel data are cut off ({present:,} of {expected:,} bytes)"
    return True, ""


def _value(dataset: pydicom.Dataset, keyword: str) -> Any:
    try:
        return dataset.get(keyword)
    except Exception:
        return None


def text(dataset: pydicom.Dataset, keyword: str) -> str:
    """Text of an element; empty where it is absent or cannot be decoded."""
    value = _value(dataset, keyword)
    if value is None:
        return ""
    if isinstance(value, (list, pydicom.multival.MultiValue)):
        return "\\".join(str(part) for part in value)
    return str(value).strip("\0 ")


def numbers(dataset: pydicom.Dataset, keyword: str, count: int) -> tuple[float, ...] | None:
    """Finite numbers of an element; None where it is absent or has not ``count`` of them."""
    value = _value(dataset, keyword)
    if value is None or isinstance(value, (bytes, str)):
        return None
    try:
        parts = tuple(float(v) for v in (value if count > 1 else [value]))
    except (TypeError, ValueError):
        return None
    return parts if len(parts) == count and all(map(math.isfinite, parts)) else None


def number(dataset: pydicom.Dataset, keyword: str) -> float | None:
    """One finite number of an element, or None."""
    parts = numbers(dataset, keyword, 1)
    return parts[0] if parts else None


def _integer(dataset: pydicom.Dataset, keyword: str, default: int) -> int:
    value = number(dataset, keyword)
    return default if value is None else int(value)


def vector(dataset: pydicom.Dataset, keyword: str, count: int) -> npt.NDArray[np.float64] | None:
    """Finite float64 ``(count,)`` of an element, or None."""
    parts = numbers(dataset, keyword, count)
    return None if parts is None else np.array(parts)


def pair(dataset: pydicom.Dataset, keyword: str) -> tuple[float, float] | None:
    """Two positive numbers of an element, or None."""
    parts = numbers(dataset, keyword, 2)
    return (parts[0], parts[1]) if parts and min(parts) > 0 else None


def rescale(dataset: pydicom.Dataset) -> tuple[float | None, float | None]:
    """Rescale slope and intercept; a slope of zero counts as absent."""
    return number(dataset, "RescaleSlope") or None, number(dataset, "RescaleIntercept")


def _padding(dataset: pydicom.Dataset, bits_allocated: int, signed: bool) -> tuple[int, int] | None:
    first = number(dataset, "PixelPaddingValue")
    if first is None:
        return None
    last = number(dataset, "PixelPaddingRangeLimit")
    # Writers often give the bit pattern in the other signedness: 63536 stands for -2000.
    span = 1 << bits_allocated
    low = -(span >> 1) if signed else 0
    ends = sorted((int(v) - low) % span + low for v in (first, first if last is None else last))
    return ends[0], ends[1]


def _description(dataset: pydicom.Dataset) -> str:
    """Series description, or nothing if it repeats something that names a person."""
    description = " ".join(text(dataset, "SeriesDescription").split())[:64]
    folded = description.casefold()
    for keyword in (
        "PatientName",
        "PatientID",
        "PatientBirthDate",
        "AccessionNumber",
        "ReferringPhysicianName",
    ):
        words = text(dataset, keyword).casefold().replace("^", " ").replace("=", " ").split()
        if any(len(word) > 2 and word in folded for word in words):
            return ""
    return description if description.isprintable() else ""


def _parse(source: Source, dataset: pydicom.Dataset, has_pixels: bool, problem: str) -> Header:
    meta = getattr(dataset, "file_meta", pydicom.Dataset())
    bits_allocated = _integer(dataset, "BitsAllocated", 16)
    signed = _integer(dataset, "PixelRepresentation", 0) == 1
    syntax = text(meta, "TransferSyntaxUID")
    if not syntax:
        syntax = "1.2.840.10008.1.2" if dataset.original_encoding[0] else "1.2.840.10008.1.2.1"
    slope, intercept = rescale(dataset)
    lossy = text(dataset, "LossyImageCompression") == "01"
    instance = number(dataset, "InstanceNumber")
    return Header(
        source=source,
        frame=None,
        frames=_integer(dataset, "NumberOfFrames", 1),
        sop_class=text(dataset, "SOPClassUID") or text(meta, "MediaStorageSOPClassUID"),
        sop_uid=text(dataset, "SOPInstanceUID"),
        modality=text(dataset, "Modality").upper(),
        image_type=tuple(text(dataset, "ImageType").upper().split("\\")),
        patient=hashlib.sha256(text(dataset, "PatientID").encode()).hexdigest(),
        study_uid=text(dataset, "StudyInstanceUID"),
        series_uid=text(dataset, "SeriesInstanceUID"),
        description=_description(dataset),
        body_part=text(dataset, "BodyPartExamined").upper(),
        rows=_integer(dataset, "Rows", 0),
        columns=_integer(dataset, "Columns", 0),
        samples=_integer(dataset, "SamplesPerPixel", 1),
        bits_allocated=bits_allocated,
        bits_stored=_integer(dataset, "BitsStored", bits_allocated),
        signed=signed,
        spacing=pair(dataset, "PixelSpacing"),
        position=vector(dataset, "ImagePositionPatient", 3),
        orientation=vector(dataset, "ImageOrientationPatient", 6),
        instance_number=None if instance is None else int(instance),
        thickness=number(dataset, "SliceThickness"),
        spacing_between=number(dataset, "SpacingBetweenSlices"),
        kernel=text(dataset, "ConvolutionKernel"),
        phase=tuple((keyword, text(dataset, keyword)) for keyword in PHASE_KEYWORDS),
        slope=slope,
        intercept=intercept,
        rescale_type=text(dataset, "RescaleType").upper(),
        has_lut=bool(_value(dataset, "ModalityLUTSequence")),
        padding=_padding(dataset, bits_allocated, signed),
        lossy_ratio=text(dataset, "LossyImageCompressionRatio") if lossy else None,
        transfer_syntax=syntax,
        has_pixels=has_pixels,
        pixel_problem=problem,
    )


def with_frame(header: Header, frame: int, **changes: Any) -> Header:
    """Header of one frame of a multi-frame file."""
    return replace(header, frame=frame, **changes)
