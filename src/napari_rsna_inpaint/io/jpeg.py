"""A pydicom decoder for the JPEG family over libjpeg-turbo (``imagecodecs.jpeg8_decode``).

``imagecodecs.jpeg_decode`` is avoided on purpose: it falls back to decoders that crash the
process on damaged lossless streams.
"""

from __future__ import annotations

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
