"""DICOM in: plan what a set of files holds, then load one series of it."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_rsna_inpaint.errors import ChoiceNeeded, InputRefused
from napari_rsna_inpaint.io.header import Header, read_headers
from napari_rsna_inpaint.io.judge import group_series
from napari_rsna_inpaint.io.pixels import (
    DecoderMissingError,
    PixelReader,
    check_decoder,
    is_integral,
)
from napari_rsna_inpaint.io.scan import Skipped, Source
from napari_rsna_inpaint.io.series import Series, refused_slices_note
from napari_rsna_inpaint.io.stream import NotReadableError
from napari_rsna_inpaint.volume import CTVolume, Note

_MEMORY_SHARE = 0.7
_AIR_BELOW_HU = -200
_OUTLIER_HU = 300


@dataclass
class Study:
    """What a set of files holds.

    Attributes
    ----------
    series
        Judged series.
    skipped
        Files that were left out.
    """

    series: list[Series]
    skipped: list[Skipped]


def plan(sources: Iterable[Source], skipped: Iterable[Skipped] = ()) -> Study:
    """Read all headers and judge every series.

    Parameters
    ----------
    sources
        Candidate files.
    skipped
        Files that were left out before.
    """
    left_out = list(skipped)
    headers: list[Header] = []
    for source in sources:
        try:
            headers += read_headers(source)
        except NotReadableError as problem:
            nifti = source.name.casefold().endswith((".nii", ".nii.gz"))
            reason = "NIfTI file (open it by itself)" if nifti else str(problem)
            left_out.append(Skipped(source.name, reason))
        except OSError:
            left_out.append(Skipped(source.name, "cannot be opened"))
    series, unused = group_series(headers, _same_pixels)
    study = Study(series, left_out + unused)
    for each in [*study.series, *(part for s in study.series for part in s.parts)]:
        if each.blocked is None:
            _check_feasible(each)
    return study


def _same_pixels(first: Header, second: Header) -> bool:
    reader = PixelReader()
    try:
        one, other = reader.hounsfield(first).hu, reader.hounsfield(second).hu
    except (NotReadableError, DecoderMissingError):
        return False
    return np.array_equal(one, other)


def _check_feasible(series: Series) -> None:
    for syntax_header in {h.transfer_syntax: h for h in series.slices}.values():
        try:
            check_decoder(syntax_header)
        except DecoderMissingError as missing:
            series.block("refused", "decoder-missing", str(missing))
            return
    size = 2 * len(series.slices) * series.first.rows * series.first.columns
    memory = _physical_memory()
    if memory and size > _MEMORY_SHARE * memory:
        series.block(
            "refused",
            "too-large",
            f"The series needs {size / 2**30:.1f} GiB, more than this machine's memory allows. "
            "Read fewer slices or use a larger machine.",
        )


def _physical_memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 0


def choose(study: Study, wanted: str | None) -> Series:
    """Pick the series to read.

    Parameters
    ----------
    study
        The plan.
    wanted
        UID of a series (or of a part, ``UID#k``), a unique beginning of one, or None if
        there is only one.

    Raises
    ------
    InputRefused
        If nothing can be read, or nothing has that UID.
    ChoiceNeeded
        If a person must pick.
    """
    if not study.series:
        raise InputRefused(_nothing_found(study.skipped), "nothing-found")
    if wanted is not None:
        series = _named(study, wanted)
    else:
        usable = [s for s in study.series if s.outcome != "refused"]
        if len(usable) > 1:
            raise ChoiceNeeded(
                f"The input holds {len(usable)} CT series. Name one of them.",
                [s.describe() for s in usable],
                "several-series",
            )
        series = usable[0] if usable else study.series[0]
    if series.blocked:
        outcome, reason = series.blocked
        if outcome == "ask":
            raise ChoiceNeeded(reason.message, series.choices, reason.code)
        raise InputRefused(reason.message, reason.code)
    return series


def _named(study: Study, wanted: str) -> Series:
    candidates = {s.uid: s for s in study.series}
    candidates |= {part.uid: part for s in study.series for part in s.parts}
    if wanted in candidates:
        return candidates[wanted]
    matching = [s for s in study.series if s.uid.startswith(wanted)]
    if len(matching) == 1:
        return matching[0]
    choices = [s.describe() for s in matching or study.series]
    if matching:
        raise ChoiceNeeded(f"{len(matching)} series begin with that UID. Name one.", choices)
    raise InputRefused(
        f"None of the {len(study.series)} series has that UID. List them with: rsna-inpaint info"
    )


def _nothing_found(skipped: list[Skipped]) -> str:
    if not skipped:
        return "The folder is empty. Choose the folder of a head CT series."
    reasons = Counter(entry.reason for entry in skipped)
    listed = "; ".join(f"{count} x {reason}" for reason, count in reasons.most_common(3))
    return f"No CT slices found ({listed}). Choose a head CT series in DICOM or NIfTI."


def load(series: Series) -> tuple[CTVolume, list[Skipped]]:
    """Decode a series slice by slice into one array.

    Parameters
    ----------
    series
        A series that is not blocked.

    Returns
    -------
    tuple
        The volume, and the slices left out because their pixels are damaged.

    Raises
    ------
    InputRefused
        If no slice can be decoded, or a decoder is missing.
    ChoiceNeeded
        If the values are not plausible Hounsfield units.
    """
    slices = series.slices
    reader = PixelReader()
    reader.confirm_wrap(slices)
    dtype = np.int16 if all(map(is_integral, slices)) else np.float32
    shape = (len(slices), series.first.rows, series.first.columns)
    hu: npt.NDArray[Any] = np.empty(shape, dtype)
    kept: list[int] = []
    skipped: list[Skipped] = []
    found: dict[str, tuple[Note, int]] = {}
    floors: list[float] = []
    for index, header in enumerate(slices):
        try:
            decoded = reader.hounsfield(header)
        except NotReadableError as problem:
            skipped.append(Skipped(header.source.name, str(problem)))
            continue
        except DecoderMissingError as missing:
            raise InputRefused(str(missing), "decoder-missing") from None
        if decoded.hu.dtype == np.float32 and hu.dtype == np.int16:
            hu = hu.astype(np.float32)
        hu[len(kept)] = decoded.hu
        kept.append(index)
        floors.append(float(np.percentile(decoded.hu[::4, ::4], 5)))
        for note in decoded.notes:
            found[note.code] = (note, found.get(note.code, (note, 0))[1] + 1)
    if not kept:
        raise InputRefused(
            f"No slice can be read: {skipped[0].reason}. Fetch the series again from its source.",
            "no-readable-slice",
        )
    hu = hu[: len(kept)]
    notes = series.all_notes(kept)
    notes += [_counted(note, count, len(kept)) for note, count in found.values()]
    if skipped:
        notes.append(refused_slices_note(len(skipped), skipped[0].reason))
    notes += _outlier_notes([slices[k] for k in kept], floors)
    _check_air(hu, series)
    return _volume(series, hu, kept, notes), skipped


def needs_pixels(series: Series) -> bool:
    """Whether the headers leave open what the pixels mean, so that only `load` can tell."""
    if series.blocked:
        return False
    rescales = {(h.slope, h.intercept) for h in series.slices}
    # One slice costs little, so that a single file is always judged to the last bit.
    return len(series.slices) == 1 or len(rescales) > 1 or any(map(_is_open, series.slices))


def _is_open(header: Header) -> bool:
    usual_bits = 16 if header.signed else 12
    return (
        header.has_lut
        or header.intercept is None
        or header.intercept > -100
        or header.bits_stored != usual_bits
    )


def _counted(note: Note, count: int, total: int) -> Note:
    return note if count == total else Note(note.code, f"{note.message} ({count} slices)")


def _outlier_notes(slices: list[Header], floors: list[float]) -> list[Note]:
    """Note slices with a rescale of their own whose darkest values do not fit the rest."""
    usual = Counter((h.slope, h.intercept) for h in slices).most_common(1)[0][0]
    median = float(np.median(floors))
    odd = [
        h
        for h, floor in zip(slices, floors, strict=True)
        if (h.slope, h.intercept) != usual and abs(floor - median) > _OUTLIER_HU
    ]
    if not odd:
        return []
    return [
        Note(
            "rescale-outlier",
            f"{len(odd)} slice(s) have another rescale and much other values than the rest "
            f"(slope {odd[0].slope:g}, intercept {odd[0].intercept:g}).",
        )
    ]


def _check_air(hu: npt.NDArray[Any], series: Series) -> None:
    """Ask where a rescale that allows no air leaves none: the values are then no HU."""
    if max((h.intercept or 0.0) for h in series.slices) <= -100 or series.first.has_lut:
        return
    if min(int(plane.min()) for plane in hu) >= _AIR_BELOW_HU:
        raise ChoiceNeeded(
            "No voxel is as dark as air, so the values are probably not Hounsfield units "
            f"(rescale intercept {series.first.intercept:g}). "
            "Export the series again from its source.",
            code="no-air",
        )


def spacing_mm(series: Series) -> tuple[float, float, float] | None:
    """Voxel size ``(z, y, x)`` mm of a series that has positions, without its pixels."""
    if not len(series.positions):
        return None
    kept = list(range(len(series.slices)))
    nothing = np.broadcast_to(np.int16(0), (len(kept), 1, 1))
    return CTVolume(nothing, series.affine(kept), series.positions).spacing


def _volume(series: Series, hu: npt.NDArray[Any], kept: list[int], notes: list[Note]) -> CTVolume:
    identity = series.first.series_uid or series.uid
    return CTVolume(
        hu=hu,
        affine=series.affine(kept),
        positions=series.positions[kept],
        notes=tuple(notes),
        slice_ids=tuple(series.slices[k].label for k in kept),
        source_id=hashlib.sha256(identity.encode()).hexdigest()[:16],
        description=series.first.description,
    )
