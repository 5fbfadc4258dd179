"""Pixels of one DICOM slice, decoded and turned into Hounsfield units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom import uid
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import get_frame
from pydicom.pixels import get_decoder

from napari_rsna_inpaint.io import jpeg
from napari_rsna_inpaint.io.header import Header
from napari_rsna_inpaint.io.stream import NotReadableError, open_dicom, read_dataset, tolerant
from napari_rsna_inpaint.volume import Note

AIR_HU = -1024
# Below lies only padding of some scanners (-3024), above only a wrong rescale.
PLAUSIBLE_HU = (-3100, 32767)
# Stored signed values this far below zero would be far darker than air.
_BELOW_AIR = 500
# Where air lies after unwrapping, and how much of it confirms the wrap.
_AIR_TOP = -800
_AIR_SHARE = 0.001
_WRAP_NOTE = Note(
    "rsna-wrap-4096",
    "Stored values had wrapped at 4096 (air appeared as bone); the topmost 1000 were moved below "
    "zero.",
)
_PLUGINS = {
    uid.RLELossless: ("pydicom", "pydicom"),
    uid.JPEGLSLossless: ("pyjpegls", "pyjpegls"),
    uid.JPEGLSNearLossless: ("pyjpegls", "pyjpegls"),
    uid.JPEG2000Lossless: ("pylibjpeg", "pylibjpeg pylibjpeg-openjpeg"),
    uid.JPEG2000: ("pylibjpeg", "pylibjpeg pylibjpeg-openjpeg"),
    uid.HTJ2KLossless: ("pylibjpeg", "pylibjpeg pylibjpeg-openjpeg"),
    uid.HTJ2KLosslessRPCL: ("pylibjpeg", "pylibjpeg pylibjpeg-openjpeg"),
    uid.HTJ2K: ("pylibjpeg", "pylibjpeg pylibjpeg-openjpeg"),
    **dict.fromkeys(jpeg.SYNTAXES, (jpeg.LABEL, "imagecodecs")),
}
_LOSSY = {
    uid.JPEGBaseline8Bit,
    uid.JPEGExtended12Bit,
    uid.JPEGLSNearLossless,
    uid.JPEG2000,
    uid.HTJ2K,
}


class DecoderMissingError(Exception):
    """No installed decoder for a transfer syntax; the text names it and the remedy."""


@dataclass(frozen=True)
class Slice:
    """One slice in Hounsfield units.

    Attributes
    ----------
    hu
        ``(y, x)`` int16 where exact, else float32.
    notes
        What had to be repaired.
    """

    hu: npt.NDArray[Any]
    notes: tuple[Note, ...] = ()


def is_lossy(header: Header) -> bool:
    """Whether detail was lost to compression, by declaration or by transfer syntax."""
    return header.lossy_ratio is not None or header.transfer_syntax in _LOSSY


@cache
def _decoder(syntax: str) -> tuple[Any, str]:
    """Pydicom's decoder of a syntax and the one plugin trusted with it."""
    name = uid.UID(syntax).name
    try:
        decoder = get_decoder(uid.UID(syntax))
    except NotImplementedError:
        raise DecoderMissingError(
            f"Images compressed as {name} cannot be read. Convert them to an uncompressed "
            "transfer syntax."
        ) from None
    if not uid.UID(syntax).is_encapsulated:
        return decoder, ""
    if syntax not in _PLUGINS:
        raise DecoderMissingError(
            f"Images compressed as {name} cannot be read. Convert them to an uncompressed "
            "transfer syntax."
        )
    plugin, packages = _PLUGINS[uid.UID(syntax)]
    if plugin == jpeg.LABEL:
        decoder.add_plugin(plugin, (jpeg.__name__, "decode_frame"))
    if plugin not in decoder.available_plugins:
        raise DecoderMissingError(
            f"The decoder for {name} is not installed. Run: python -m pip install {packages}"
        )
    return decoder, plugin


def check_decoder(header: Header) -> None:
    """Raise ``DecoderMissingError`` if nothing installed reads the pixels of a slice."""
    _decoder(header.transfer_syntax)


class PixelReader:
    """Decodes slices one at a time; keeps the last multi-frame file parsed.

    Attributes
    ----------
    unwrap
        Whether 12-bit values are known to have wrapped; see `confirm_wrap`.
    """

    def __init__(self) -> None:
        self.unwrap = False
        self._parsed: tuple[str, pydicom.FileDataset] | None = None

    def _dataset(self, header: Header) -> pydicom.FileDataset:
        if self._parsed and self._parsed[0] == header.source.name:
            return self._parsed[1]
        try:
            with open_dicom(header.source) as stream:
                dataset = read_dataset(BytesIO(stream.read()))
        except OSError:
            raise NotReadableError("it cannot be opened") from None
        self._parsed = (header.source.name, dataset) if header.frame is not None else None
        return dataset

    def _stored(self, header: Header) -> tuple[npt.NDArray[np.integer], pydicom.FileDataset]:
        if header.pixel_problem:
            raise NotReadableError(header.pixel_problem)
        decoder, plugin = _decoder(header.transfer_syntax)
        with tolerant():
            dataset = self._dataset(header)
            _check_stream_size(header, dataset)
            try:
                array, _ = decoder.as_array(
                    _image_of(header, dataset),
                    index=header.frame or 0,
                    raw=True,
                    decoding_plugin=plugin,
                )
            # Some decoders raise BaseException subclasses of their own on damaged data.
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException:
                raise NotReadableError("its pixel data are damaged") from None
        if array.shape != (header.rows, header.columns):
            raise NotReadableError(f"decoded to {array.shape} pixels instead of the declared size")
        return array, dataset

    def hounsfield(self, header: Header) -> Slice:
        """Decode one slice to Hounsfield units.

        Padding becomes air (-1024 HU); MONOCHROME1 only concerns the display.

        Raises
        ------
        NotReadableError
            If the pixels are damaged or no rescale makes them Hounsfield units.
        DecoderMissingError
            If no decoder is installed.
        """
        stored, dataset = self._stored(header)
        hu, notes = self._convert(stored, dataset, header)
        hu[_is_padding(stored, header)] = AIR_HU
        low, high = float(hu.min()), float(hu.max())
        if low < PLAUSIBLE_HU[0] or high > PLAUSIBLE_HU[1]:
            raise NotReadableError(f"its values ({low:.0f} to {high:.0f}) are no Hounsfield units")
        if uid.UID(header.transfer_syntax).is_encapsulated and _saturated(stored, header):
            raise NotReadableError("its compressed pixel data are damaged")
        return Slice(hu, notes)

    def _convert(
        self, stored: npt.NDArray[np.integer], dataset: pydicom.Dataset, header: Header
    ) -> tuple[npt.NDArray[Any], tuple[Note, ...]]:
        if header.has_lut:
            # Tables hold 16 bits without a sign; Hounsfield units below zero are its complement.
            looked_up = pydicom.pixels.apply_modality_lut(stored, dataset).astype(np.uint16)
            note = Note("modality-lut", "Hounsfield units come from a lookup table in the file.")
            return looked_up.view(np.int16), (note,)
        if header.slope is None or header.intercept is None:
            raise NotReadableError("it has no rescale to Hounsfield units")
        if self.unwrap and may_wrap(header):
            return _rescale(_unwrapped(stored), header.slope, header.intercept), (_WRAP_NOTE,)
        values, notes = _fix_sign(stored, header)
        return _rescale(values, header.slope, header.intercept), notes

    def confirm_wrap(self, headers: Sequence[Header]) -> None:
        """Decide whether 12-bit values of a series had wrapped: only then do they hold air.

        Parameters
        ----------
        headers
            Slices of the series; those in the middle are looked at first.
        """
        suspects = [header for header in headers if may_wrap(header)]
        middle = len(suspects) // 2
        for header in suspects[middle:] + suspects[:middle]:
            try:
                stored = self._stored(header)[0]
            except (NotReadableError, DecoderMissingError):
                continue
            if np.count_nonzero(_unwrapped(stored) < _AIR_TOP) > _AIR_SHARE * stored.size:
                self.unwrap = True
                return


def _image_of(header: Header, dataset: pydicom.Dataset) -> pydicom.Dataset:
    """Describe the pixels by the checked header alone, whatever else the file says."""
    image = pydicom.Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = uid.UID(header.transfer_syntax)
    image.Rows, image.Columns = header.rows, header.columns
    image.NumberOfFrames = max(header.frames, 1)
    image.SamplesPerPixel = 1
    image.PhotometricInterpretation = "MONOCHROME2"
    image.BitsAllocated, image.BitsStored = header.bits_allocated, header.bits_stored
    image.HighBit = header.bits_stored - 1
    image.PixelRepresentation = int(header.signed)
    for keyword in ("PixelData", "ExtendedOffsetTable", "ExtendedOffsetTableLengths"):
        if keyword in dataset:
            image[keyword] = dataset[keyword]
    return image


def _check_stream_size(header: Header, dataset: pydicom.Dataset) -> None:
    """Refuse a compressed stream of another size before a decoder makes room for it."""
    if not uid.UID(header.transfer_syntax).is_encapsulated:
        return
    try:
        frame = get_frame(
            dataset.PixelData, header.frame or 0, number_of_frames=max(header.frames, 1)
        )
        size = jpeg.declared_size(frame)
    except Exception:
        raise NotReadableError("its compressed pixel data are damaged") from None
    if size is not None and size != (header.rows, header.columns):
        raise NotReadableError(
            f"its compressed image ({size[0]} x {size[1]}) is not of the declared size"
        )


def may_wrap(header: Header) -> bool:
    """Whether a slice cannot hold air as declared, as if its 12-bit values had wrapped."""
    return (
        header.bits_stored == 12
        and not header.signed
        and header.intercept is not None
        and header.intercept > -100
    )


def _unwrapped(stored: npt.NDArray[np.integer]) -> npt.NDArray[np.int32]:
    """Move the topmost 1000 of 12-bit stored values below zero."""
    values = stored.astype(np.int32)
    values[values >= 4096 - 1000] -= 4096
    return values


def _fix_sign(
    stored: npt.NDArray[np.integer], header: Header
) -> tuple[npt.NDArray[np.integer], tuple[Note, ...]]:
    """Read values in the other signedness where only that gives Hounsfield units."""
    assert header.slope is not None
    assert header.intercept is not None
    real = stored[~_is_padding(stored, header)]
    if not real.size:
        return stored, ()
    if header.signed:
        # Bone read as signed turns into many different values far below air.
        low = real[real.astype(np.int32) + _BELOW_AIR < 0]
        if header.intercept > -900 or header.bits_stored >= 16 or len(np.unique(low)) <= 8:
            return stored, ()
        other = stored.astype(np.int32) & ((1 << header.bits_stored) - 1)
        declared, real_sign = "signed", "unsigned"
    else:
        if real.max() * header.slope + header.intercept <= PLAUSIBLE_HU[1]:
            return stored, ()
        other = stored.astype(np.uint16).view(np.int16)
        declared, real_sign = "unsigned", "signed"
    note = Note(
        "sign-corrected",
        f"Pixel values declared as {declared} are {real_sign}; they were read so.",
    )
    return other, (note,)


def is_integral(header: Header) -> bool:
    """Whether the rescale turns whole numbers into whole numbers."""
    return header.has_lut or (
        header.slope is not None
        and header.intercept is not None
        and header.slope.is_integer()
        and header.intercept.is_integer()
    )


def _rescale(
    stored: npt.NDArray[np.integer], slope: float, intercept: float
) -> npt.NDArray[np.int16] | npt.NDArray[np.float32]:
    if slope.is_integer() and intercept.is_integer():
        exact = stored.astype(np.int32)
        exact *= int(slope)
        exact += int(intercept)
        if exact.min() >= -32768 and exact.max() <= 32767:
            return exact.astype(np.int16)
    return (stored.astype(np.float64) * slope + intercept).astype(np.float32)


def _is_padding(stored: npt.NDArray[np.integer], header: Header) -> npt.NDArray[np.bool_]:
    if header.padding is None:
        return np.zeros(stored.shape, dtype=bool)
    low, high = header.padding
    return (stored >= low) & (stored <= high)


def _saturated(stored: npt.NDArray[np.integer], header: Header) -> bool:
    """More than 0.5 % of all 16-bit values at their limit: the mark of a broken stream."""
    if header.bits_stored < 16:
        return False
    limits = np.iinfo(np.int16 if header.signed else np.uint16)
    ends = (stored == limits.max) | ((stored == limits.min) if header.signed else False)
    ends &= ~_is_padding(stored, header)
    return bool(np.count_nonzero(ends) > 0.005 * stored.size)
