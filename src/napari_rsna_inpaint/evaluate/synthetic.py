"""Bleeds of known place and density in scans without one."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_rsna_inpaint.errors import InputRefused
from napari_rsna_inpaint.evaluate.cases import SliceTruth
from napari_rsna_inpaint.evaluate.lesions import HuSet, Shape, insert_bleed, read_shape
from napari_rsna_inpaint.evaluate.subtypes import SUBTYPES, Subtype
from napari_rsna_inpaint.volume import CTVolume

#: Bleeds take turns between these densities.
HU_SETS: tuple[HuSet, ...] = ("bhsd", "acute")
#: Subtypes that may take a real outline.
_SHAPED = ("intraparenchymal", "intraventricular")


@dataclass(frozen=True)
class SyntheticBleed:
    """A scan with a bleed in it.

    Attributes
    ----------
    volume
        The altered scan.
    mask
        ``(z, y, x)`` bool, True in the bleed.
    labels
        Bleeding slices are those that hold some of the mask.
    hu_set
        Where its density comes from.
    """

    volume: CTVolume
    mask: npt.NDArray[np.bool_]
    labels: SliceTruth
    hu_set: HuSet


def synthetic_bleed(
    volume: CTVolume,
    brain: npt.NDArray[np.bool_],
    name: str,
    number: int,
    *,
    seed: int,
    shapes: Sequence[Path] = (),
) -> SyntheticBleed:
    """Insert one bleed, the same for the same name, number and seed.

    Numbers take turns between the densities and then between the subtypes; a subtype that
    finds no place gives way to the next.

    Parameters
    ----------
    volume, brain
        Scan without bleed and its brain mask ``(z, y, x)``.
    name, number
        Of the scan, and of the bleed among those of the scan, from 0.
    shapes
        NIfTI masks of real bleeds, used for intraparenchymal and intraventricular ones.

    Raises
    ------
    InputRefused
        If no subtype finds a place, or a shape cannot be read.
    """
    key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4])
    hu_set = HU_SETS[number % len(HU_SETS)]
    for turn in range(len(SUBTYPES)):
        subtype = SUBTYPES[(key + number // len(HU_SETS) + turn) % len(SUBTYPES)]
        rng = np.random.default_rng([seed, key, number, turn])
        shape = _draw_shape(shapes, subtype, rng)
        try:
            altered, mask, _ = insert_bleed(
                volume, brain, rng, subtype=subtype, hu_set=hu_set, shape=shape
            )
        except InputRefused:
            continue
        return SyntheticBleed(altered, mask, _labels(mask, subtype), hu_set)
    raise InputRefused("No synthetic bleed finds a place in this scan.")


def _draw_shape(shapes: Sequence[Path], subtype: Subtype, rng: np.random.Generator) -> Shape | None:
    if not shapes or subtype not in _SHAPED:
        return None
    return read_shape(shapes[int(rng.integers(len(shapes)))])


def _labels(mask: npt.NDArray[np.bool_], subtype: Subtype) -> SliceTruth:
    bleed = (mask.reshape(len(mask), -1).max(1) > 0).astype(np.int8)
    chosen = np.array([name == subtype for name in SUBTYPES], np.int8)
    return SliceTruth(bleed, bleed[:, None] * chosen)
