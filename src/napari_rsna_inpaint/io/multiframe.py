"""Enhanced (multi-frame) CT: one header for each frame, from the functional groups."""

from __future__ import annotations

import pydicom

from napari_rsna_inpaint.io.elements import number, pair, rescale, text, value_of, vector
from napari_rsna_inpaint.io.header import Header, with_frame
from napari_rsna_inpaint.io.stream import NotReadableError

MAX_FRAMES = 20_000


def split_frames(header: Header, dataset: pydicom.Dataset) -> list[Header]:
    """Give every frame its own position, orientation, spacing and rescale.

    Parameters
    ----------
    header
        What the frames share.
    dataset
        The parsed file without pixels.

    Raises
    ------
    NotReadableError
        If the frames have no functional groups, so nobody knows where they lie.
    """
    frames = _items(dataset, "PerFrameFunctionalGroupsSequence")
    if not frames:
        raise NotReadableError("multi-frame image without a position for each frame")
    if len(frames) != header.frames or header.frames > MAX_FRAMES:
        raise NotReadableError(f"{header.frames} frames declared but {len(frames)} described")
    shared = [*_items(dataset, "SharedFunctionalGroupsSequence"), pydicom.Dataset()][0]
    return [_frame_header(header, index, own, shared) for index, own in enumerate(frames)]


def _items(dataset: pydicom.Dataset, keyword: str) -> list[pydicom.Dataset]:
    value = value_of(dataset, keyword)
    return list(value) if isinstance(value, pydicom.Sequence) else []


def _frame_header(
    header: Header, index: int, own: pydicom.Dataset, shared: pydicom.Dataset
) -> Header:
    def group(keyword: str) -> pydicom.Dataset:
        return [*_items(own, keyword), *_items(shared, keyword), pydicom.Dataset()][0]

    measures = group("PixelMeasuresSequence")
    content = group("FrameContentSequence")
    frame_type = text(group("CTImageFrameTypeSequence"), "FrameType").upper()
    slope, intercept = rescale(group("PixelValueTransformationSequence"))
    thickness = number(measures, "SliceThickness")
    phase = dict(header.phase)
    for keyword in ("StackID", "TemporalPositionIndex"):
        phase[keyword] = text(content, keyword)
    return with_frame(
        header,
        index,
        image_type=tuple(frame_type.split("\\")) if frame_type else header.image_type,
        spacing=pair(measures, "PixelSpacing") or header.spacing,
        thickness=header.thickness if thickness is None else thickness,
        position=vector(group("PlanePositionSequence"), "ImagePositionPatient", 3),
        orientation=vector(group("PlaneOrientationSequence"), "ImageOrientationPatient", 6),
        instance_number=index + 1,
        slope=header.slope if slope is None else slope,
        intercept=header.intercept if intercept is None else intercept,
        phase=tuple(phase.items()),
    )
