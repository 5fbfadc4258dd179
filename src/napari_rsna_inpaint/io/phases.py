"""Tell apart what one series UID may mix: other grids, phases, reconstructions, repeats."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import numpy.typing as npt

from napari_rsna_inpaint.io import geometry
from napari_rsna_inpaint.io.header import Header

_ACROSS_DEG = 10.0


def same_grid(first: Header, second: Header) -> bool:
    """Whether two slices agree in matrix, pixel size and orientation, but for rounding."""
    if (first.rows, first.columns) != (second.rows, second.columns):
        return False
    if (first.spacing is None) != (second.spacing is None) or (first.orientation is None) != (
        second.orientation is None
    ):
        return False
    if first.spacing and second.spacing and not np.allclose(first.spacing, second.spacing, 1e-3):
        return False
    if first.orientation is None or second.orientation is None:
        return True
    return geometry.same_orientation(first.orientation, second.orientation)


def lies_across(header: Header, other: Header) -> bool:
    """Whether two slices are far from parallel."""
    if header.orientation is None or other.orientation is None:
        return False
    normals = map(geometry.normal_of, (header.orientation, other.orientation))
    return geometry.degrees_between(*normals) > _ACROSS_DEG


def split_phases(
    slices: list[Header], z: npt.NDArray[np.float64]
) -> tuple[list[list[Header]], list[str]]:
    """Split slices so that no part holds a place twice.

    Parameters
    ----------
    slices
        Sorted along the normal.
    z
        ``(n,)`` their places along the normal, mm.

    Returns
    -------
    tuple
        The parts, and what tells each of them apart.
    """
    for index, (keyword, _) in enumerate(slices[0].phase):
        parts: dict[str, list[int]] = defaultdict(list)
        for position, header in enumerate(slices):
            parts[header.phase[index][1]].append(position)
        # An attribute that differs on every slice says nothing about phases.
        if 1 < len(parts) <= len(slices) / 2 and all(
            len(geometry.duplicates(z[part].tolist())) == len(part) for part in parts.values()
        ):
            labels = [f"{keyword} {value or 'not given'}" for value in parts]
            return [[slices[k] for k in part] for part in parts.values()], labels
    rounds: dict[int, list[Header]] = defaultdict(list)
    for group in geometry.duplicates(z.tolist()):
        ordered = sorted((slices[k] for k in group), key=lambda h: h.instance_number or 0)
        for turn, header in enumerate(ordered):
            rounds[turn].append(header)
    # The common slices belong to every part, so that each choice is a whole volume.
    base, *others = rounds.values()
    labels = [f"image {turn + 1} of each place" for turn in rounds]
    return [base, *(_with_replacements(base, other) for other in others)], labels


def _with_replacements(base: list[Header], others: list[Header]) -> list[Header]:
    orientation = base[0].orientation
    assert orientation is not None
    normal = geometry.normal_of(orientation)

    def place(header: Header) -> float:
        assert header.position is not None
        return float(header.position @ normal)

    replaced = {}
    for header in others:
        nearest = min(base, key=lambda b: abs(place(b) - place(header)))
        replaced[id(nearest)] = header
    return [replaced.get(id(header), header) for header in base]
