"""Outlines of real lesions, from a folder of binary masks."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_rsna_inpaint.errors import InputRefused
from napari_rsna_inpaint.evaluate.lesion_shapes import Shape, read_shape

#: One axial slice of a lesion, ``(y, x)``, and its pixel spacing, ``(y, x)`` mm.
Outline = tuple[npt.NDArray[np.bool_], npt.NDArray[np.float64]]


class LesionOutlines:
    """Real lesions, or axial slices through them, placed anywhere in a brain.

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
            self._shapes = list(pool.map(read_shape, files))
        self._lesions = [_outlines(shape) for shape in self._shapes]
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

    def draw_volume(
        self, brain: npt.NDArray[np.bool_], section_mm: float, rng: np.random.Generator
    ) -> npt.NDArray[np.bool_]:
        """A random lesion as a whole, turned upside down, mirrored, rotated, scaled at random.

        Parameters
        ----------
        brain
            ``(z, y, x)`` bool on the model grid, not empty.
        section_mm
            Distance of its sections.

        Returns
        -------
        ``(z, y, x)`` bool; at least one voxel of it is brain.
        """
        lesion = self._shapes[rng.integers(len(self._shapes))]
        # This voxel of the lesion comes to lie on that voxel of the brain.
        anchor, place = _any_pixel(lesion.mask, rng), _any_pixel(brain, rng)
        angle = rng.uniform(0, 2 * np.pi)
        upside, mirror = rng.choice((-1.0, 1.0), 2)
        cos, sin = np.cos(angle), np.sin(angle)
        turn = np.array([[upside, 0, 0], [0, cos, -sin], [0, sin, cos]]) * (1.0, mirror, 1.0)
        step = np.array([section_mm, self._pixel_mm, self._pixel_mm]) / np.exp(rng.normal(0, 0.25))
        offset = (np.indices(brain.shape).reshape(3, -1) - place[:, None]) * step[:, None]
        spacing = np.array(lesion.spacing)[:, None]
        source = np.rint((turn @ offset) / spacing).astype(int) + anchor[:, None]
        inside = ((source >= 0) & (source < np.array(lesion.mask.shape)[:, None])).all(0)
        drawn = np.zeros(brain.size, bool)
        drawn[inside] = lesion.mask[tuple(source[:, inside])]
        return drawn.reshape(brain.shape)


def _any_pixel(mask: npt.NDArray[np.bool_], rng: np.random.Generator) -> npt.NDArray[np.intp]:
    inside = np.argwhere(mask)
    return inside[rng.integers(len(inside))]


def _outlines(lesion: Shape) -> list[Outline]:
    slices = [s for s in lesion.mask if s.any()]
    return [(s, np.array(lesion.spacing[1:])) for s in slices]
