"""What the rest of the package needs to know about one DICOM slice, from its header alone."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom

from napari_rsna_inpaint.io.elements import integer, number, pair, rescale, text, value_of, vector
from napari_rsna_inpaint.io.scan import Source
from napari_rsna_inpaint.io.stream import (
    NotReadableError,
    check_pixel_element,
    looks_like_dicom,
    open_dicom,
    read_dataset,
    tolerant,
)

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
    "LossyImageCompression",
    "LossyImageCompressionRatio",
    "ModalityLUTSequence",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
)


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

    @property
    def is_scaled(self) -> bool:
        """Whether the file tells how to get Hounsfield units."""
        return self.has_lut or None not in (self.slope, self.intercept)


def read_headers(source: Source) -> list[Header]:
    """Read the header of one file: one entry, or one for each frame.

    Raises
    ------
    NotReadableError
        If the file is not a DICOM object or is damaged.
    """
    with tolerant(), open_dicom(source) as stream:
        if not looks_like_dicom(stream):
            raise NotReadableError("not a DICOM file")
        dataset = read_dataset(stream, stop_before_pixels=True, specific_tags=list(_KEYWORDS))
        has_pixels, problem = check_pixel_element(stream, dataset)
        header = _parse(source, dataset, has_pixels, problem)
        if header.frames <= 1 and "PerFrameFunctionalGroupsSequence" not in dataset:
            return [header]
        from napari_rsna_inpaint.io.multiframe import split_frames

        return split_frames(header, dataset)


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


def _format_problem(dataset: pydicom.Dataset) -> str:
    """Say what makes the declared pixel format impossible, or nothing."""
    allocated = integer(dataset, "BitsAllocated", 16)
    stored = integer(dataset, "BitsStored", allocated)
    sign = integer(dataset, "PixelRepresentation", 0)
    if allocated not in (8, 16, 32) or not 0 < stored <= allocated or sign not in (0, 1):
        return f"its pixel format ({stored} of {allocated} bits) is impossible"
    return ""


def _parse(source: Source, dataset: pydicom.Dataset, has_pixels: bool, problem: str) -> Header:
    meta = getattr(dataset, "file_meta", pydicom.Dataset())
    bits_allocated = integer(dataset, "BitsAllocated", 16)
    signed = integer(dataset, "PixelRepresentation", 0) == 1
    syntax = text(meta, "TransferSyntaxUID")
    if not syntax:
        syntax = "1.2.840.10008.1.2" if dataset.original_encoding[0] else "1.2.840.10008.1.2.1"
    slope, intercept = rescale(dataset)
    lossy = text(dataset, "LossyImageCompression") == "01"
    instance = number(dataset, "InstanceNumber")
    return Header(
        source=source,
        frame=None,
        frames=integer(dataset, "NumberOfFrames", 1),
        sop_class=text(dataset, "SOPClassUID") or text(meta, "MediaStorageSOPClassUID"),
        sop_uid=text(dataset, "SOPInstanceUID"),
        modality=text(dataset, "Modality").upper(),
        image_type=tuple(text(dataset, "ImageType").upper().split("\\")),
        patient=hashlib.sha256(text(dataset, "PatientID").encode()).hexdigest(),
        study_uid=text(dataset, "StudyInstanceUID"),
        series_uid=text(dataset, "SeriesInstanceUID"),
        description=_description(dataset),
        body_part=text(dataset, "BodyPartExamined").upper(),
        rows=integer(dataset, "Rows", 0),
        columns=integer(dataset, "Columns", 0),
        samples=integer(dataset, "SamplesPerPixel", 1),
        bits_allocated=bits_allocated,
        bits_stored=integer(dataset, "BitsStored", bits_allocated),
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
        has_lut=bool(value_of(dataset, "ModalityLUTSequence")),
        padding=_padding(dataset, bits_allocated, signed),
        lossy_ratio=text(dataset, "LossyImageCompressionRatio") if lossy else None,
        transfer_syntax=syntax,
        has_pixels=has_pixels,
        pixel_problem=problem or _format_problem(dataset),
    )


def with_frame(header: Header, frame: int, **changes: Any) -> Header:
    """Header of one frame of a multi-frame file."""
    return replace(header, frame=frame, **changes)
