"""Tell CT slices from everything else that lies in a study folder."""

from __future__ import annotations

from napari_rsna_inpaint.io.header import Header

MAX_SIDE = 8192
_DICOMDIR = "1.2.840.10008.1.3.10"
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_CT_CLASSES = {
    "1.2.840.10008.5.1.4.1.1.2",
    "1.2.840.10008.5.1.4.1.1.2.1",
    "1.2.840.10008.5.1.4.1.1.2.2",
}
_OTHER_BODY_PARTS = (
    "ABDOMEN",
    "ANKLE",
    "CHEST",
    "ELBOW",
    "FOOT",
    "HAND",
    "HEART",
    "HIP",
    "KNEE",
    "LIVER",
    "LUNG",
    "PELVIS",
    "SHOULDER",
    "THORAX",
    "WRIST",
)
_NOT_IMAGES = {
    "SR": "structured report",
    "SEG": "segmentation",
    "PR": "presentation state",
    "KO": "key object note",
    "RTSTRUCT": "contours",
    "RTPLAN": "treatment plan",
    "RTDOSE": "dose",
    "REG": "registration",
    "DOC": "document",
    "PLAN": "plan",
}
_MODALITIES = {
    "MR": "magnetic resonance",
    "PT": "positron emission tomography",
    "NM": "nuclear medicine",
    "US": "ultrasound",
    "CR": "radiographs",
    "DX": "radiographs",
    "MG": "mammography",
    "XA": "angiography",
}


def leave_out(header: Header) -> str:
    """Why a file is no slice of any series; empty if it may be one."""
    if header.sop_class == _DICOMDIR:
        return "DICOMDIR index (the files themselves are read)"
    if header.modality in _NOT_IMAGES:
        return f"not an image ({_NOT_IMAGES[header.modality]})"
    if not (header.rows > 0 and header.columns > 0):
        return "not an image"
    if header.sop_class.startswith(_SECONDARY_CAPTURE):
        return "secondary capture"
    if header.samples != 1:
        return "colour picture"
    if "LOCALIZER" in header.image_type:
        return "localizer"
    if header.bits_allocated <= 8 and header.slope is None and not header.has_lut:
        return "8-bit picture without Hounsfield units"
    if max(header.rows, header.columns) > MAX_SIDE:
        return f"image of {header.rows} x {header.columns} pixels, more than any CT slice"
    if not header.has_pixels:
        return "image without pixel data"
    return ""


def wrong_modality(header: Header) -> str:
    """Sentence that refuses a series of another modality; empty for CT."""
    if header.modality == "CT" or (not header.modality and header.sop_class in _CT_CLASSES):
        return ""
    if not header.modality:
        return (
            "The images do not say that they are CT (no modality). "
            "Export the series again from its source."
        )
    name = _MODALITIES.get(header.modality, "another modality")
    return f"The images are {name} ({header.modality}), not CT. Choose a head CT series."


def other_body_part(header: Header) -> str:
    """Body part that is surely no head, as the file names it; empty otherwise."""
    named = header.body_part
    return named if named.startswith(_OTHER_BODY_PARTS) else ""
