"""One series and the verdict on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from napari_rsna_inpaint.io import geometry
from napari_rsna_inpaint.io.header import Header
from napari_rsna_inpaint.io.scan import Skipped
from napari_rsna_inpaint.volume import Note, Outcome


@dataclass
class Series:
    """One candidate series and the verdict on it.

    Attributes
    ----------
    uid
        Series instance UID, with ``#k`` where several series share one.
    slices
        In reading order, sorted along the normal.
    positions
        ``(n, 3)`` LPS mm.
    orientation
        ``(6,)`` in-plane directions, LPS.
    notes
        What is known from the headers, without the places of the slices.
    blocked
        Outcome (``ask`` or ``refused``) and its reason, or None.
    choices
        One line per possibility where a person must pick.
    parts
        The possibilities themselves, by the UID that picks them.
    skipped
        Files of the series that were left out.
    """

    uid: str
    slices: list[Header]
    positions: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 3)))
    orientation: npt.NDArray[np.float64] = field(
        default_factory=lambda: np.array([1.0, 0, 0, 0, 1, 0])
    )
    notes: list[Note] = field(default_factory=list)
    blocked: tuple[Outcome, Note] | None = None
    choices: tuple[str, ...] = ()
    parts: list[Series] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)

    @property
    def outcome(self) -> Outcome:
        """Verdict as in ``info``."""
        if self.blocked:
            return self.blocked[0]
        return "note" if self.all_notes() else "ok"

    def all_notes(self, kept: Sequence[int] | None = None) -> list[Note]:
        """Give the notes from the headers, with those on the places of the slices that are kept."""
        if self.blocked:
            return list(self.notes)
        positions = self.positions if kept is None else self.positions[kept]
        return [*self.notes, *geometry.geometry_notes(positions, self.orientation)]

    @property
    def first(self) -> Header:
        """Any one slice, for what all share."""
        return self.slices[0]

    @property
    def spacing(self) -> tuple[float, float]:
        """Distance between rows, then columns, mm."""
        return self.first.spacing or (1.0, 1.0)

    def affine(self, kept: Sequence[int]) -> npt.NDArray[np.float64]:
        """``(4, 4)`` from ``(z, y, x)`` indices of the kept slices to LPS mm."""
        thickness = self.first.spacing_between or self.first.thickness or 1.0
        return geometry.affine_of(
            self.positions[kept], self.orientation, self.spacing, abs(thickness)
        )

    def describe(self) -> str:
        """One line for a person who must choose."""
        thickness = self.first.thickness
        parts = [
            self.uid,
            self.first.description or "(no description)",
            f"{len(self.slices)} slices",
            f"{thickness:g} mm" if thickness else "thickness unknown",
            f"kernel {self.first.kernel}" if self.first.kernel else "kernel unknown",
        ]
        return "  ".join(parts)

    def block(self, outcome: Outcome, code: str, message: str) -> Series:
        """Record why the series cannot simply be read."""
        self.blocked = (outcome, Note(code, message))
        return self


def refused_slices_note(count: int, reason: str) -> Note:
    """Note that slices were left out because they cannot be read."""
    return Note("slice-refused", f"{count} slice(s) left out: {reason}.")
