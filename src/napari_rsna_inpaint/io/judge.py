"""From loose headers to series: group, leave out what is no CT slice, order, judge."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np

from napari_rsna_inpaint.io import geometry
from napari_rsna_inpaint.io.classify import leave_out, other_body_part, wrong_modality
from napari_rsna_inpaint.io.header import Header
from napari_rsna_inpaint.io.phases import lies_across, same_grid, split_phases
from napari_rsna_inpaint.io.pixels import is_lossy
from napari_rsna_inpaint.io.scan import Skipped
from napari_rsna_inpaint.io.series import Series, refused_slices_note
from napari_rsna_inpaint.volume import Note

SamePixels = Callable[[Header, Header], bool]


def group_series(
    headers: Iterable[Header], same_pixels: SamePixels
) -> tuple[list[Series], list[Skipped]]:
    """Sort headers into judged series.

    Parameters
    ----------
    headers
        In any order.
    same_pixels
        Tells whether two slices hold the same values; asked only of duplicates.

    Returns
    -------
    tuple
        The series, and the files that belong to none.
    """
    skipped: list[Skipped] = []
    groups: dict[tuple, list[Header]] = defaultdict(list)
    for header in headers:
        reason = leave_out(header)
        if reason:
            skipped.append(Skipped(header.source.name, reason))
        else:
            groups[_series_key(header)].append(header)
    names = Counter(_uid(slices) for slices in groups.values())
    used: Counter[str] = Counter()
    series = []
    for slices in groups.values():
        uid = _uid(slices)
        used[uid] += 1
        name = f"{uid}#{used[uid]}" if names[uid] > 1 else uid
        judged = judge(name, slices, same_pixels)
        skipped += judged.skipped
        series.append(judged)
    return series, skipped


def _series_key(header: Header) -> tuple:
    identity = (header.patient, header.study_uid, header.modality)
    if header.series_uid:
        return (*identity, header.series_uid)
    # Without a UID, only what lies together and looks alike is taken as one series.
    return (*identity, header.source.folder, header.rows, header.columns)


def _uid(slices: Sequence[Header]) -> str:
    if slices[0].series_uid:
        return slices[0].series_uid
    names = "\n".join(sorted(header.label for header in slices))
    return "no-uid-" + hashlib.sha256(names.encode()).hexdigest()[:12]


def judge(uid: str, slices: list[Header], same_pixels: SamePixels) -> Series:
    """Order the slices of one series and decide whether it can be read.

    Parameters
    ----------
    uid
        Name of the series.
    slices
        At least one slice, in any order.
    same_pixels
        Tells whether two slices hold the same values.
    """
    series = Series(uid, sorted(slices, key=_file_order))
    modality = wrong_modality(series.first)
    if modality:
        return series.block("refused", "wrong-modality", modality)
    if not series.first.series_uid:
        series.notes.append(
            Note("no-series-uid", "No series UID: files of one folder were taken as one series.")
        )
    _leave_out_damaged(series)
    if not series.slices:
        series.slices = slices
        return series.block(
            "refused",
            "no-readable-slice",
            "No slice can be read: the files are damaged or cut off. Fetch the series again.",
        )
    _leave_out_scouts(series)
    if _split_by_grid(series, same_pixels) or not _place(series):
        return series
    if not _drop_duplicates(series, same_pixels):
        return series
    _judge_values(series)
    if series.blocked is None:
        _judge_subject(series)
    return series


def _judge_subject(series: Series) -> None:
    """Ask before something is read that is probably no axial head."""
    part = other_body_part(series.first)
    if part:
        _ask_anyway(
            series,
            "not-head",
            f"The images are labelled {part.capitalize()}, and the method is for heads.",
        )
    elif geometry.oblique_degrees(series.orientation) > geometry.MAX_OBLIQUE_DEG:
        _ask_anyway(
            series,
            "not-axial",
            "The slices are sagittal or coronal, and the method works on axial slices.",
        )


def _ask_anyway(series: Series, code: str, message: str) -> None:
    anyway = replace(series, uid=f"{series.uid}#as-is", notes=[*series.notes, Note(code, message)])
    series.parts = [anyway]
    series.choices = (anyway.describe(),)
    series.block("ask", code, f"{message} Choose another series, or this one as it is.")


def _file_order(header: Header) -> tuple[str, int]:
    return header.source.name, header.frame or 0


def _leave_out_damaged(series: Series) -> None:
    damaged = [header for header in series.slices if header.pixel_problem]
    if not damaged:
        return
    series.slices = [header for header in series.slices if not header.pixel_problem]
    series.skipped += [Skipped(h.source.name, h.pixel_problem) for h in damaged]
    series.notes.append(refused_slices_note(len(damaged), damaged[0].pixel_problem))


def _grids(slices: Iterable[Header]) -> list[list[Header]]:
    """Group slices of the same matrix, pixel size and orientation; the largest group first."""
    groups: list[list[Header]] = []
    for header in slices:
        for group in groups:
            if same_grid(group[0], header):
                group.append(header)
                break
        else:
            groups.append([header])
    return sorted(groups, key=len, reverse=True)


def _leave_out_scouts(series: Series) -> None:
    """Leave out up to three slices that lie across the rest: a forgotten scout."""
    main, *others = _grids(h for h in series.slices if h.orientation is not None) or [[]]
    scouts = [
        header
        for group in others
        for header in group
        if len(group) < min(4, len(main)) and lies_across(header, main[0])
    ]
    ids = set(map(id, scouts))
    series.slices = [header for header in series.slices if id(header) not in ids]
    series.skipped += [
        Skipped(header.source.name, "lies across the other slices (probably a localizer)")
        for header in scouts
    ]


def _split_by_grid(series: Series, same_pixels: SamePixels) -> bool:
    """Ask which part is meant where matrix, pixel size or orientation differ."""
    parts = _grids(series.slices)
    if len(parts) < 2:
        return False
    message = f"The series mixes {len(parts)} image sizes, pixel spacings or orientations."
    labels = [_grid_label(part[0]) for part in parts]
    _ask_part(series, parts, labels, same_pixels, Note("mixed-geometry", message))
    return True


def _grid_label(header: Header) -> str:
    size = f"{header.rows} x {header.columns} pixels"
    return f"{size} of {header.spacing[0]:g} mm" if header.spacing else size


def _ask_part(
    series: Series,
    parts: list[list[Header]],
    labels: list[str],
    same_pixels: SamePixels,
    reason: Note,
) -> None:
    series.parts = [
        judge(f"{series.uid}#{index}", part, same_pixels)
        for index, part in enumerate(parts, start=1)
    ]
    series.choices = tuple(
        f"{part.describe()}  {label}" for part, label in zip(series.parts, labels, strict=True)
    )
    series.block("ask", reason.code, f"{reason.message} Choose one part.")


def _place(series: Series) -> bool:
    """Sort the slices along their normal and set positions; False if blocked."""
    placed = [h for h in series.slices if h.position is not None and h.orientation is not None]
    if not placed:
        return _place_by_number(series)
    lost = [h for h in series.slices if h.position is None or h.orientation is None]
    if lost:
        reason = "it has no position"
        series.skipped += [Skipped(h.source.name, reason) for h in lost]
        series.notes.append(refused_slices_note(len(lost), reason))
    orientation = placed[0].orientation
    assert orientation is not None
    if not geometry.is_orthonormal(orientation):
        series.block(
            "refused",
            "bad-orientation",
            "The image orientation is not two perpendicular unit vectors. "
            "Export the series again from its source.",
        )
        return False
    normal = geometry.normal_of(orientation)
    positions = np.array([h.position for h in placed])
    order = np.argsort(positions @ normal, kind="stable")
    series.slices = [placed[index] for index in order]
    series.positions = positions[order]
    series.orientation = orientation
    if len(placed) == 1 and not (series.first.thickness or series.first.spacing_between):
        series.notes.append(
            Note("thickness-unknown", "Slice thickness is missing; 1 mm was assumed: no volumes.")
        )
    if series.first.spacing is None:
        series.notes.append(
            Note("no-pixel-spacing", "Pixel spacing is missing; 1 mm was assumed: no sizes in mm.")
        )
    return True


def _place_by_number(series: Series) -> bool:
    instances = [h.instance_number for h in series.slices]
    if len(instances) > 1 and (None in instances or len(set(instances)) < len(instances)):
        series.block(
            "refused",
            "no-order",
            "The slices have neither positions nor distinct instance numbers, so their order is "
            "unknown. Export the series again from its source.",
        )
        return False
    series.slices.sort(key=lambda h: h.instance_number or 0)
    step = series.first.spacing_between or series.first.thickness or 1.0
    series.positions = np.zeros((len(series.slices), 3))
    series.positions[:, 2] = np.arange(len(series.slices)) * abs(step)
    if series.first.orientation is not None:
        series.orientation = series.first.orientation
        series.positions = series.positions[:, 2:] * geometry.normal_of(series.orientation)
    series.notes.append(
        Note(
            "no-position",
            "Slices have no position: order by instance number, spacing and side unknown "
            f"({abs(step):g} mm assumed).",
        )
    )
    return True


def _drop_duplicates(series: Series, same_pixels: SamePixels) -> bool:
    """Drop repeated identical slices; False if different ones share a place."""
    z = series.positions @ geometry.normal_of(series.orientation)
    groups = geometry.duplicates(z.tolist())
    if len(groups) == len(series.slices):
        return True
    keep: list[int] = []
    dropped: list[int] = []
    for group in groups:
        distinct: list[int] = []
        for index in group:
            twin = any(same_pixels(series.slices[index], series.slices[k]) for k in distinct)
            (dropped if twin else distinct).append(index)
        keep += distinct
    slices = [series.slices[index] for index in keep]
    if dropped:
        series.skipped += [
            Skipped(series.slices[index].source.name, "same slice twice") for index in dropped
        ]
        series.notes.append(
            Note("duplicate-slices", f"{len(dropped)} identical duplicate slice(s) dropped.")
        )
    series.slices, series.positions = slices, series.positions[keep]
    if len(keep) == len(groups):
        return True
    if len(groups) == 1:
        series.block(
            "refused",
            "one-position",
            f"All {len(keep)} images show the same position (bolus monitoring), not a volume. "
            "Choose another series.",
        )
        return False
    parts, labels = split_phases(slices, z[keep])
    message = f"{len(keep)} different images share {len(groups)} positions."
    _ask_part(series, parts, labels, same_pixels, Note("phases", message))
    return False


def _judge_values(series: Series) -> None:
    """Judge what the headers say about the values: rescale and compression."""
    unscaled = [h for h in series.slices if not h.is_scaled]
    if unscaled:
        series.block(
            "ask",
            "rescale-missing",
            f"{len(unscaled)} of {len(series.slices)} slices have no rescale slope and intercept, "
            "so their values may not be Hounsfield units. Export the series again from its source.",
        )
        return
    lossy = [h for h in series.slices if is_lossy(h)]
    if lossy:
        ratio = f", ratio {lossy[0].lossy_ratio}" if lossy[0].lossy_ratio else ""
        series.notes.append(
            Note("lossy", f"{len(lossy)} slice(s) are lossy compressed{ratio}: detail may be lost.")
        )
