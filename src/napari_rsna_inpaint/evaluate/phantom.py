"""A procedural head CT whose truth is known, for samples, tests and evaluation.

One anatomy is described in millimetres (x to the left, y to the posterior, z to the
head; the origin lies at the foramen of Monro) and evaluated on thin sub-slices that are
averaged into thick ones, so partial volume behaves as in a scan. Prevalences of the
harmless look-alikes and shape numbers are plausible, not fitted to a population.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import fft
from scipy.ndimage import gaussian_filter

from napari_rsna_inpaint.evaluate._head import Anatomy, Bleed, Wound, paint
from napari_rsna_inpaint.volume import CTVolume, Note

_Field = npt.NDArray[np.floating]

#: Height of the middle of every phantom above the foramen of Monro, mm.
_CENTRE_Z_MM = 15.0
_SUB_SLICES = 3


@dataclass(frozen=True)
class Phantom:
    """A phantom and its truth, all on the grid ``(z, y, x)`` of the volume.

    Attributes
    ----------
    volume
        Head CT in HU (int16), z to the head, y posterior, x left.
    brain_mask
        bool, True inside the inner table (brain, CSF and any bleed).
    lesion_mask
        bool, True in the bleed (without oedema); empty when there is none.
    """

    volume: CTVolume
    brain_mask: npt.NDArray[np.bool_]
    lesion_mask: npt.NDArray[np.bool_]


def head_phantom(
    seed: int = 0,
    bleed: Bleed | None = None,
    shape: tuple[int, int, int] = (27, 256, 256),
    spacing: tuple[float, float, float] = (5.0, 0.9, 0.9),
) -> Phantom:
    """Draw one adult head.

    Parameters
    ----------
    seed
        Chooses anatomy, age, harmless calcifications, noise and the bleed. With and
        without a bleed, the same seed gives the same head and the same noise.
    bleed
        None for a healthy head.
    shape, spacing
        ``(z, y, x)`` voxels and mm. Smaller grids show the middle of the head.

    Returns
    -------
    Phantom
        The same for the same arguments.
    """
    body, texture, noise, lesion = np.random.SeedSequence(seed).spawn(4)
    anatomy = Anatomy.draw(np.random.default_rng(body))
    wound = Wound.draw(np.random.default_rng(lesion), bleed) if bleed else None
    fields = _Fields.draw(np.random.default_rng(texture), shape, spacing)
    noise_rng = np.random.default_rng(noise)

    hu = np.empty(shape, np.int16)
    brain = np.empty(shape, bool)
    blood = np.empty(shape, bool)
    y, x = (
        (np.arange(n, dtype=np.float32) - (n - 1) / 2) * step
        for n, step in zip(shape[1:], spacing[1:], strict=True)
    )
    grid_y, grid_x = np.meshgrid(y, x, indexing="ij")
    for index in range(shape[0]):
        z = _CENTRE_Z_MM + (index - (shape[0] - 1) / 2) * spacing[0]
        thin = []
        for sub in range(_SUB_SLICES):
            height = z + ((sub + 0.5) / _SUB_SLICES - 0.5) * spacing[0]
            local = fields.at(index * _SUB_SLICES + sub)
            thin.append(paint(anatomy, wound, local, grid_x, grid_y, height, spacing[2]))
        values, inside, bled = (np.mean(parts, axis=0) for parts in zip(*thin, strict=True))
        values = gaussian_filter(values, [0.45 / step for step in spacing[1:]])
        values += anatomy.noise_hu * _scanner_noise(noise_rng, shape[1:], spacing[1:])
        hu[index] = np.clip(np.rint(values), -1024, 3071)
        brain[index] = inside > 0.5
        blood[index] = bled > 0.5

    affine = np.zeros((4, 4))
    affine[[2, 1, 0, 3], [0, 1, 2, 3]] = [*spacing, 1.0]
    affine[:3, 3] = -(np.array(shape) - 1)[::-1] / 2 * spacing[::-1]
    affine[2, 3] += _CENTRE_Z_MM
    positions = affine[:3, 3] + np.arange(shape[0])[:, None] * affine[:3, 0]
    volume = CTVolume(
        hu=hu,
        affine=affine,
        positions=positions,
        notes=(Note("phantom", "Simulated head CT, not a patient."),),
        slice_ids=tuple(f"phantom-{seed}-{index:03d}" for index in range(shape[0])),
        source_id=f"phantom-{seed}-{bleed or 'healthy'}",
        description="Phantom with a bleed" if bleed else "Healthy phantom",
    )
    return Phantom(volume, brain, blood)


@dataclass(frozen=True)
class _Fields:
    """Smooth random fields in 3-D: sulci, folia, tissue texture and displacements."""

    coarse: tuple[_Field, ...]
    rows: _Field
    columns: _Field

    @classmethod
    def draw(
        cls,
        rng: np.random.Generator,
        shape: tuple[int, int, int],
        spacing: tuple[float, float, float],
    ) -> _Fields:
        """Draw on half the in-plane grid; nothing in the fields is finer than that."""
        size = (shape[0] * _SUB_SLICES, -(-shape[1] // 2), -(-shape[2] // 2))
        steps = (spacing[0] / _SUB_SLICES, spacing[1] * 2, spacing[2] * 2)
        bands = ((17.0, 0.35), (6.5, 0.4), (9.0, 1.2), (45.0, 0.5), (45.0, 0.5))
        fields = tuple(_band_noise(rng, size, steps, *band) for band in bands)
        return cls(fields, _stretch(shape[1], size[1]), _stretch(shape[2], size[2]))

    def at(self, sub_slice: int) -> tuple[_Field, ...]:
        """Fields of one sub-slice on the full in-plane grid, each of unit variance."""
        return tuple(self.rows @ field[sub_slice] @ self.columns.T for field in self.coarse)


def _stretch(fine: int, coarse: int) -> _Field:
    """Matrix that interpolates ``coarse`` samples linearly to ``fine``."""
    at = np.linspace(0, coarse - 1, fine)
    return np.stack(
        [np.interp(at, np.arange(coarse), row) for row in np.eye(coarse)], axis=1
    ).astype(np.float32)


def _band_noise(
    rng: np.random.Generator,
    size: tuple[int, ...],
    steps: tuple[float, ...],
    wavelength: float,
    width: float,
) -> _Field:
    """Gaussian noise of unit variance around one wavelength (mm, log-normal band)."""
    frequencies = [fft.fftfreq(n, step) for n, step in zip(size[:-1], steps[:-1], strict=True)]
    frequencies.append(fft.rfftfreq(size[-1], steps[-1]))
    norm = np.sqrt(sum(np.square(f) for f in np.ix_(*frequencies)))
    norm.flat[0] = np.inf
    gain = np.exp(-((np.log(norm * wavelength) / width) ** 2) / 2).astype(np.float32)
    spectrum = fft.rfftn(rng.standard_normal(size, np.float32)) * gain
    field = fft.irfftn(spectrum, size).astype(np.float32)
    return field / max(float(field.std()), 1e-6)


def _scanner_noise(
    rng: np.random.Generator, size: tuple[int, ...], steps: tuple[float, ...]
) -> _Field:
    """Draw unit noise with the ramp-like spectrum of filtered back projection."""
    f = np.hypot(fft.fftfreq(size[0], steps[0])[:, None], fft.rfftfreq(size[1], steps[1])[None])
    gain = np.sqrt(f * np.exp(-((f / 0.28) ** 2)) + 0.002)
    noise = fft.irfft2(fft.rfft2(rng.standard_normal(size)) * gain, size)
    return (noise / noise.std()).astype(np.float32)
