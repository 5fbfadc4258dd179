"""Healthy slices on the model grid: prepared once per series, then drawn at random."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from napari_rsna_inpaint import __version__
from napari_rsna_inpaint.brain import brain_mask
from napari_rsna_inpaint.diffusion.model import Condition, ModelConfig
from napari_rsna_inpaint.errors import InputRefused, RsnaInpaintError
from napari_rsna_inpaint.inpaint.resample import AIR_HU, ModelGrid
from napari_rsna_inpaint.io import read
from napari_rsna_inpaint.train.holes import random_hole

log = logging.getLogger(__name__)

#: Slices with less brain than this are context only, mm2.
MIN_BRAIN_MM2 = 1000.0
#: Context kept around the brain, mm.
MARGIN_MM = 24.0


@dataclass(frozen=True)
class PreparedSeries:
    """One series on the model grid, z to the head, y posterior, x left.

    ``hu`` is ``(z, y, x)`` int16 HU, ``brain`` bool of the same shape, ``usable`` the slice
    indices with enough brain; ``name`` is the folder's or file's name.
    """

    name: str
    hu: npt.NDArray[np.int16]
    brain: npt.NDArray[np.bool_]
    usable: npt.NDArray[np.intp]


def find_series(folders: Iterable[Path]) -> list[Path]:
    """What to train on: every subfolder is a series; without subfolders, every scan file.

    A folder of loose files holds single slices of different patients, each given by itself.
    """
    found: list[Path] = []
    for folder in folders:
        inner = sorted(p for p in folder.iterdir() if p.is_dir())
        if inner:
            found += inner
        else:
            found += sorted(p for p in folder.iterdir() if _may_be_scan(p))
    return found


def _may_be_scan(path: Path) -> bool:
    """By name only; exported DICOM often has no extension."""
    if path.name.startswith("."):
        return False
    return path.suffix.lower() in {".dcm", "", ".nii", ".zip"} or path.name.endswith(".nii.gz")


def prepare(path: Path, config: ModelConfig, cache: Path) -> PreparedSeries | None:
    """Read, mask and resample a series, or take it from the cache.

    Returns None, with a line in the log, where the input is refused or shows no brain.
    """
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    state = [(str(p), p.stat().st_size, p.stat().st_mtime_ns) for p in files]
    recipe = (__version__, config.pixel_mm, MARGIN_MM, state)
    key = hashlib.sha256(repr(recipe).encode()).hexdigest()[:16]
    stored = cache / f"{key}.npz"
    if stored.exists():
        with np.load(stored) as data:
            return _usable(path.name, data["hu"], data["brain"], config)
    try:
        volume = read(path)
    except RsnaInpaintError as error:
        log.warning("%s left out: %s", path.name, error)
        return None
    hu = volume.to_canonical(volume.hu)
    mask = volume.to_canonical(brain_mask(volume))
    if not mask.any():
        log.warning("%s left out: no brain found", path.name)
        return None
    grid = ModelGrid.around(mask, volume.spacing[1:], config.pixel_mm, margin_mm=MARGIN_MM)
    small = np.stack([np.rint(grid.image_to_model(s)).clip(-1024, 3071) for s in hu])
    brain = np.stack([grid.mask_to_model(m) for m in mask])
    cache.mkdir(parents=True, exist_ok=True)
    partial = stored.with_suffix(".tmp.npz")
    np.savez_compressed(partial, hu=small.astype(np.int16), brain=brain)
    partial.replace(stored)
    return _usable(path.name, small.astype(np.int16), brain, config)


def _usable(
    name: str, hu: npt.NDArray[np.int16], brain: npt.NDArray[np.bool_], config: ModelConfig
) -> PreparedSeries:
    area = brain.sum((1, 2)) * config.pixel_mm**2
    return PreparedSeries(name, hu, brain, np.flatnonzero(area >= MIN_BRAIN_MM2))


class HealthySlices:
    """Random training examples from prepared series.

    Parameters
    ----------
    shape
        ``(y, x)`` of an example on the model grid.
    """

    def __init__(
        self, series: list[PreparedSeries], config: ModelConfig, shape: tuple[int, int]
    ) -> None:
        self._series = series
        self._slices = [(i, int(z)) for i, s in enumerate(series) for z in s.usable]
        if not self._slices:
            raise InputRefused("No slice with enough brain was found in the training data.")
        self._config = config
        self._shape = shape

    def __len__(self) -> int:
        return len(self._slices)

    def batch(self, size: int, rng: np.random.Generator) -> tuple[Condition, Tensor]:
        """``(condition, hu)`` of ``size`` random, augmented slices; ``hu`` is the truth, HU."""
        chosen = rng.integers(len(self._slices), size=size)
        return self.examples([int(i) for i in chosen], rng, augment=True)

    def examples(
        self, indices: list[int], rng: np.random.Generator, *, augment: bool
    ) -> tuple[Condition, Tensor]:
        """The same for given positions in the list of usable slices."""
        stacks = torch.stack([self._stack(i, rng, augment) for i in indices])
        brain = stacks[:, 3:4] > 0.5
        hu = stacks[:, :3]
        if augment:
            hu = _jitter_hu(hu, rng)
        holes = [random_hole(b.numpy(), rng) for b in brain[:, 0]]
        hole = torch.from_numpy(np.stack(holes))[:, None].float()
        encoded = self._config.encode(hu)
        keep = [_neighbour_policy(h, rng) for h in hole]
        present = stacks[:, 4:6, :1, :1]
        condition = Condition(
            image=encoded[:, 1:2],
            hole=hole,
            brain=brain.float(),
            below=encoded[:, 0:1] * torch.stack([k[0] for k in keep]) * present[:, 0:1],
            above=encoded[:, 2:3] * torch.stack([k[1] for k in keep]) * present[:, 1:2],
        )
        return condition, hu[:, 1:2]

    def _stack(self, index: int, rng: np.random.Generator, augment: bool) -> Tensor:
        """``(6, H, W)``: below, slice, above in HU; brain; whether below and above exist."""
        which, z = self._slices[index]
        series = self._series[which]
        last = len(series.hu) - 1
        planes = [series.hu[max(z - 1, 0)], series.hu[z], series.hu[min(z + 1, last)]]
        image = torch.from_numpy(np.stack([*planes, series.brain[z]]).astype(np.float32))
        # grid_sample pads with zeros: let zero stand for air
        image[:3] -= AIR_HU
        image = _transform(image, series.brain[z], self._shape, rng, augment)
        image[:3] += AIR_HU
        present = torch.tensor([float(z > 0), float(z < last)])
        return torch.cat([image, present[:, None, None].expand(2, *self._shape)])


def _transform(
    image: Tensor,
    brain: npt.NDArray[np.bool_],
    shape: tuple[int, int],
    rng: np.random.Generator,
    augment: bool,
) -> Tensor:
    """Cut ``shape`` around the brain's centre; rotated, zoomed, shifted, mirrored at random."""
    center = np.argwhere(brain).mean(0)
    angle, zoom, mirror = 0.0, np.ones(2), 1.0
    if augment:
        angle = rng.normal(0, 0.12)
        zoom = np.exp(rng.normal(0, 0.05) + rng.normal(0, 0.03, 2))
        mirror = rng.choice((-1.0, 1.0))
        center = center + rng.uniform(-10, 10, 2)
    height, width = image.shape[-2:]
    cos, sin = np.cos(angle), np.sin(angle)
    # output pixel (x, y) from the centre -> input pixel, then to grid_sample's -1..1
    linear = np.array([[cos * mirror, -sin], [sin * mirror, cos]]) / zoom[None]
    ys, xs = np.meshgrid(
        np.arange(shape[0]) - (shape[0] - 1) / 2,
        np.arange(shape[1]) - (shape[1] - 1) / 2,
        indexing="ij",
    )
    x = linear[0, 0] * xs + linear[0, 1] * ys + center[1]
    y = linear[1, 0] * xs + linear[1, 1] * ys + center[0]
    where = np.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], -1).astype(np.float32)
    return F.grid_sample(image[None], torch.from_numpy(where)[None], align_corners=False)[0]


def _jitter_hu(hu: Tensor, rng: np.random.Generator) -> Tensor:
    """Calibration differences between scanners and additional noise, per example."""
    n = len(hu)
    gain = torch.from_numpy(rng.normal(1.0, 0.02, (n, 1, 1, 1)).astype(np.float32))
    shift = torch.from_numpy(rng.normal(0.0, 1.5, (n, 1, 1, 1)).astype(np.float32))
    noise = rng.uniform(0.0, 3.0, (n, 1, 1, 1)) * (rng.random((n, 1, 1, 1)) < 0.3)
    texture = torch.from_numpy(rng.standard_normal(hu.shape).astype(np.float32))
    return hu * gain + shift + texture * torch.from_numpy(noise.astype(np.float32))


def _neighbour_policy(hole: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """What is kept of the slices below and above: mostly all but the hole.

    A bleed reaches into the next slices; a network that always saw them whole would copy it
    into the hole.
    """
    cut, whole, nothing = 1 - hole, torch.ones_like(hole), torch.zeros_like(hole)
    kind = rng.random()
    if kind < 0.65:
        return cut, cut
    if kind < 0.8:
        return whole, whole
    if kind < 0.87:
        return nothing, cut
    if kind < 0.94:
        return cut, nothing
    return nothing, nothing
