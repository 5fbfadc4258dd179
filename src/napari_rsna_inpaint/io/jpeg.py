"""A pydicom decoder for the JPEG family over libjpeg-turbo (``imagecodecs.jpeg8_decode``).

``imagecodecs.jpeg_decode`` is avoided on purpose: it falls back to decoders that crash the
process on damaged lossless streams.
"""

from __future__ import annotations

import struct
from importlib.util import find_spec

from pydicom import uid
from pydicom.pixels.decoders.base import DecodeRunner

LABEL = "napari-rsna-inpaint"
SYNTAXES = (
    uid.JPEGBaseline8Bit,
    uid.JPEGExtended12Bit,
    uid.JPEGLossless,
    uid.JPEGLosslessSV1,
)
# SOF0 to SOF15 without the three markers of that range that mean something else, and JPEG-LS.
_START_OF_FRAME = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
DECODER_DEPENDENCIES = dict.fromkeys(SYNTAXES, ("numpy", "imagecodecs"))


def is_available(uid: str) -> bool:
    """Whether imagecodecs is installed."""
    return uid in DECODER_DEPENDENCIES and find_spec("imagecodecs") is not None


def decode_frame(src: bytes, runner: DecodeRunner) -> bytes:
    """Decode one JPEG frame.

    Parameters
    ----------
    src
        The JPEG stream.
    runner
        pydicom's description of the frame; its bits allocated follow the decoded type.

    Returns
    -------
    bytes
        Row-major little-endian samples.
    """
    from imagecodecs import jpeg8_decode

    frame = jpeg8_decode(src)
    if frame.shape[:2] != (runner.rows, runner.columns):
        raise ValueError(f"stream is {frame.shape}, header says {runner.rows} x {runner.columns}")
    runner.set_option("bits_allocated", 8 * frame.itemsize)
    return frame.astype(frame.dtype.newbyteorder("<"), copy=False).tobytes()


def declared_size(frame: bytes) -> tuple[int, int] | None:
    """Rows and columns that a JPEG, JPEG-LS or JPEG 2000 stream declares; None for others."""
    if frame[:4] == b"\xff\x4f\xff\x51":
        # Image and offset sizes of the SIZ segment.
        right, bottom, left, top = struct.unpack(">4L", frame[8:24])
        return bottom - top, right - left
    if frame[:2] != b"\xff\xd8":
        return None
    at = 2
    while at + 9 <= len(frame):
        marker, length = frame[at + 1], int.from_bytes(frame[at + 2 : at + 4], "big")
        if marker in _START_OF_FRAME:
            rows, columns = struct.unpack(">2H", frame[at + 5 : at + 9])
            return rows, columns
        at += 1 if marker == 0xFF else 2 + length
    return None
