"""Tell apart several images of one place: phases, reconstructions, repeats."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import numpy.typing as npt

from napari_rsna_inpaint.io import geometry
from napari_rsna_inpaint.io.header import Header


def split_phases(
    slices: list[Header], z: npt.NDArray[np.float64]
) -> tuple[list[list[Header]], str]:
    """Split slices so that no part holds a place twice; and what tells the parts apart."""
    for index, (keyword, _) in enumerate(slices[0].phase):
        parts: dict[str, list[int]] = defaultdict(list)
        for position, header in enumerate(slices):
            parts[header.phase[index][1]].append(position)
        # An attribute that differs on every slice says nothing about phases.
        if 1 < len(parts) <= len(slices) / 2 and all(
            len(geometry.duplicates(z[part].tolist())) == len(part) for part in parts.values()
        ):
            return [[slices[k] for k in part] for part in parts.values()], keyword
    rounds: dict[int, list[Header]] = defaultdict(list)
    for group in geometry.duplicates(z.tolist()):
        ordered = sorted((slices[k] for k in group), key=lambda h: h.instance_number or 0)
        for turn, header in enumerate(ordered):
            rounds[turn].append(header)
    # The common slices belong to every part, so that each choice is a whole volume.
    base = rounds[0]
    parts_by_turn = [base]
    for turn in range(1, len(rounds)):
        parts_by_turn.append(_with_replacements(base, rounds[turn]))
    return parts_by_turn, "instance number"


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
