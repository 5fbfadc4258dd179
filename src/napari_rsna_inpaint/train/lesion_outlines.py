"""Outlines of real lesions, from a folder of binary masks."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_rsna_inpaint.errors import InputRefused
from napari_rsna_inpaint.evaluate.lesion_shapes import read_shape

#: One axial slice of a lesion, ``(y, x)``, and its pixel spacing, ``(y, x)`` mm.
Outline = tuple[npt.NDArray[np.bool_], npt.NDArray[np.float64]]


class LesionOutlines:
    """Axial slices through real lesions, placed anywhere in a brain.

    Parameters
    ----------
    folder
        NIfTI files, each a binary mask of one lesion or several.
    pixel_mm
        Pixel of the model grid.

    Raises
    ------
    InputRefused
        If the folder holds no mask, or one that is damaged or empty.
    """

    def __init__(self, folder: Path, pixel_mm: float) -> None:
        files = sorted([*folder.glob("*.nii"), *folder.glob("*.nii.gz")])
        if not files:
            raise InputRefused(
                f"{folder} holds no lesion masks; name a folder of .nii or .nii.gz files."
            )
        with ThreadPoolExecutor() as pool:
            self._lesions = list(pool.map(_outlines, files))
        self._pixel_mm = pixel_mm

    def draw(self, brain: npt.NDArray[np.bool_], rng: np.random.Generator) -> npt.NDArray[np.bool_]:
        """A random slice of a random lesion, mirrored, rotated and scaled at random.

        Parameters
        ----------
        brain
            ``(y, x)`` bool on the model grid, not empty.

        Returns
        -------
        ``(y, x)`` bool; at least one pixel of it is brain.
        """
        lesion = self._lesions[rng.integers(len(self._lesions))]
        outline, spacing = lesion[rng.integers(len(lesion))]
        # This pixel of the lesion comes to lie on that pixel of the brain.
        anchor, place = _any_pixel(outline, rng), _any_pixel(brain, rng)
        angle, mirror = rng.uniform(0, 2 * np.pi), rng.choice((-1.0, 1.0))
        zoom = np.exp(rng.normal(0, 0.25))
        cos, sin = np.cos(angle), np.sin(angle)
        turn = np.array([[cos, -sin], [sin, cos]]) * (mirror, 1.0) * self._pixel_mm / zoom
        offset = np.indices(brain.shape).reshape(2, -1) - place[:, None]
        source = np.rint((turn @ offset) / spacing[:, None]).astype(int) + anchor[:, None]
        inside = ((source >= 0) & (source < np.array(outline.shape)[:, None])).all(0)
        drawn = np.zeros(brain.size, bool)
        drawn[inside] = outline[tuple(source[:, inside])]
        return drawn.reshape(brain.shape)


def _any_pixel(mask: npt.NDArray[np.bool_], rng: np.random.Generator) -> npt.NDArray[np.intp]:
    inside = np.argwhere(mask)
    return inside[rng.integers(len(inside))]


def _outlines(path: Path) -> list[Outline]:
    lesion = read_shape(path)
    slices = [s for s in lesion.mask if s.any()]
    return [(s, np.array(lesion.spacing[1:])) for s in slices]
