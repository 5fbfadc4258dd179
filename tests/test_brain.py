from __future__ import annotations

import csv
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from scipy import ndimage

from napari_rsna_inpaint.brain import brain_mask
from napari_rsna_inpaint.errors import Cancelled
from napari_rsna_inpaint.io import read
from napari_rsna_inpaint.volume import CTVolume

INNER = np.array([62.0, 82.0, 66.0])  # half axes of the cavity (z, y, x), mm


@dataclass
class Head:
    """A head of ellipsoids; all lengths in mm, axes (z, y, x) towards head, back and left."""

    skull: float = 6.0
    gap: float = 0.0  # half width of a craniotomy on the left side
    subdural: float = 0.0
    metal: bool = False
    tilt: float = 0.0
    z: npt.NDArray[np.float64] = field(default_factory=lambda: np.arange(-95.0, 75.0, 5.0))
    pixel: float = 1.1
    size: int = 200
    noise: float = 4.0
    hu: npt.NDArray[np.int16] = field(init=False)
    truth: npt.NDArray[np.bool_] = field(init=False)
    eyes: npt.NDArray[np.bool_] = field(init=False)
    clot: npt.NDArray[np.bool_] = field(init=False)
    implant: npt.NDArray[np.bool_] = field(init=False)

    def __post_init__(self) -> None:
        axis = (np.arange(self.size) - (self.size - 1) / 2) * self.pixel
        y, x = axis[None, :, None] + 5.0, axis[None, None, :]
        z = self.z[:, None, None] + np.tan(np.radians(self.tilt)) * (y - 5.0)

        def within(half: npt.ArrayLike, centre: npt.ArrayLike = (0, 0, 0)) -> npt.NDArray:
            a, b, c = np.broadcast_to(half, 3)
            cz, cy, cx = centre
            return ((z - cz) / a) ** 2 + ((y - cy) / b) ** 2 + ((x - cx) / c) ** 2 <= 1

        canal = np.hypot(y - 25, x) < 13
        neck = z < -58
        scalp = within(INNER + self.skull + 7)
        face = within((45, 50, 60), (-50, -50, 0))
        throat = neck & (((y - 20) / 55) ** 2 + (x / 60) ** 2 <= 1)
        fat = within(INNER + self.skull + 4) & ~within(INNER + self.skull + 1)
        cavity = within(INNER)
        skull = within(INNER + self.skull) & ~cavity
        vertebra = neck & (np.hypot(y - 25, x) < 24) & ~canal
        hole = skull & canal & (z < -40)
        hole |= skull & (x > 0) & (np.hypot(z - 25, y) < self.gap)

        hu = np.full(np.broadcast_shapes(z.shape, y.shape, x.shape), -1000.0)
        hu[scalp | face | throat] = 50
        hu[fat & ~face & ~throat] = -90
        sides = (-32, 32)
        for side in sides:
            hu[within(19, (-38, -84, side))] = -90
        self.eyes = np.zeros(hu.shape, dtype=bool)
        for side in sides:
            self.eyes |= within(12, (-38, -88, side))
        hu[self.eyes] = 12
        hu[np.broadcast_to(cavity, hu.shape)] = 32
        hu[within((12, 30, 5), (5, 0, 12)) | within((12, 30, 5), (5, 0, -12))] = 6
        hu[(skull & ~hole) | (vertebra & ~cavity)] = 1100
        hu[canal & neck & ~cavity] = 20
        self.clot = cavity & (x > 20) & ~within(INNER - [0, 0, self.subdural], (0, 0, 0))
        self.clot &= (abs(z) < 40) & (abs(y) < 45)
        if self.subdural:
            hu[self.clot] = 70
        self.implant = within((5, 8, 8), (10, 20, -25)) & np.full(hu.shape, self.metal)
        hu[self.implant] = 3000
        hu = ndimage.gaussian_filter(hu, (0, 0.5 / self.pixel, 0.5 / self.pixel))
        table = np.broadcast_to((y > 118) & (y < 121) & (abs(x) < 90), hu.shape)
        hu[table] = 300
        rng = np.random.default_rng(0)
        hu += rng.normal(0, self.noise, hu.shape)
        self.hu = hu.round().astype(np.int16)
        # Below the foramen magnum and in the last millimetres of the cap there is no mask.
        self.truth = np.broadcast_to(cavity & (z > -55), hu.shape)

    @property
    def volume(self) -> CTVolume:
        """Canonical storage; tilt is a shear along y."""
        affine = np.eye(4)
        shear = np.tan(np.radians(self.tilt))
        mean = float(self.z[-1] - self.z[0]) / (len(self.z) - 1) if len(self.z) > 1 else 5.0
        affine[:3, 0] = (0, 0, mean)
        affine[:3, 1] = np.array((0, 1, shear)) * self.pixel
        affine[:3, 2] = (self.pixel, 0, 0)
        positions = np.zeros((len(self.z), 3))
        positions[:, 2] = self.z
        affine[:3, 3] = positions[0]
        return CTVolume(self.hu, affine, positions)


def dice(a: npt.NDArray[np.bool_], b: npt.NDArray[np.bool_]) -> float:
    return 2 * float((a & b).sum()) / max(1.0, float(a.sum() + b.sum()))


def flipped(volume: CTVolume, axes: tuple[int, ...]) -> CTVolume:
    """The same patient, stored with some axes reversed."""
    affine, positions = volume.affine.copy(), volume.positions.copy()
    for axis in axes:
        if axis == 0:
            positions = positions[::-1]
            affine[:3, 3] = positions[0]
        else:
            move = affine[:3, axis] * (volume.hu.shape[axis] - 1)
            affine[:3, 3] += move
            positions = positions + move
        affine[:3, axis] *= -1
    return replace(volume, hu=np.flip(volume.hu, axes), affine=affine, positions=positions)


@pytest.fixture(scope="module")
def adult() -> Head:
    return Head()


@pytest.fixture(scope="module")
def adult_mask(adult: Head) -> npt.NDArray[np.bool_]:
    return brain_mask(adult.volume)


def test_adult_head_is_found_without_eyes_neck_or_table(
    adult: Head, adult_mask: npt.NDArray[np.bool_]
) -> None:
    assert adult_mask.shape == adult.hu.shape
    assert adult_mask.dtype == bool
    assert dice(adult_mask, adult.truth) >= 0.95
    assert not (adult_mask & adult.eyes).any()
    assert not adult_mask[adult.z < -65].any()
    assert (adult_mask & ~adult.truth).sum() < 0.02 * adult.truth.sum()


@pytest.mark.parametrize("skull", [2.0, 4.0, 10.0])
def test_thickness_of_the_skull_does_not_matter(skull: float) -> None:
    head = Head(skull=skull)
    assert dice(brain_mask(head.volume), head.truth) >= 0.95


@pytest.mark.parametrize(("skull", "gap"), [(6.0, 8.0), (6.0, 25.0), (6.0, 45.0), (2.0, 15.0)])
def test_open_skull_does_not_leak_into_the_scalp(skull: float, gap: float) -> None:
    head = Head(skull=skull, gap=gap)
    mask = brain_mask(head.volume)
    assert dice(mask, head.truth) >= 0.95
    outside = mask & ~ndimage.binary_dilation(head.truth, iterations=4)
    assert outside.sum() < 0.003 * head.truth.sum()


@pytest.mark.parametrize("gap", [0.0, 25.0])
def test_subdural_against_the_inner_table_is_kept(gap: float) -> None:
    head = Head(subdural=7.0, gap=gap, pixel=0.6, size=340, z=np.arange(-30.0, 45.0, 5.0))
    mask = brain_mask(head.volume)
    blood = head.clot & (head.hu <= 85)  # brighter: partial volume of the inner table
    assert blood.sum() > 0.75 * head.clot.sum() > 5000
    assert (mask & blood).sum() >= 0.95 * blood.sum()


def test_partial_volume_of_the_inner_table_is_left_out(
    adult: Head, adult_mask: npt.NDArray[np.bool_]
) -> None:
    smooth = ndimage.gaussian_filter(adult.hu.astype(float), (0, 0.5, 0.5))
    assert not (adult_mask & (smooth > 110)).any()


def test_air_bubble_in_a_subdural_tears_no_hole() -> None:
    head = Head(subdural=7.0, pixel=0.6, size=340, z=np.arange(-10.0, 15.0, 5.0))
    hu = head.hu.astype(np.int16)
    rows, cols = np.indices(hu.shape[1:])
    hu[2, np.hypot(rows - 180, cols - 268) < 4] = -120
    mask = brain_mask(replace(head.volume, hu=hu))
    blood = head.clot[2] & (hu[2] <= 85)
    assert (mask[2] & blood).sum() >= 0.95 * blood.sum()


def test_metal_inside_stays_inside() -> None:
    head = Head(metal=True)
    mask = brain_mask(head.volume)
    assert mask[head.implant].all()
    assert dice(mask, head.truth) >= 0.95


def test_streaks_of_metal_do_not_tear_the_mask() -> None:
    head = Head(metal=True)
    hu = head.hu.copy()
    rows, cols = np.indices(hu.shape[1:])
    angle = np.arctan2(rows - 120, cols - 77)
    streak = np.round(np.cos(6 * angle) * 400).astype(np.int16)
    torn = np.flatnonzero(head.implant.any((1, 2)))
    hu[torn] += np.where(head.truth[torn], streak, 0).astype(np.int16)
    mask = brain_mask(replace(head.volume, hu=hu))
    assert dice(mask[torn], head.truth[torn]) >= 0.9


@pytest.mark.parametrize("tilt", [-20.0, 20.0])
def test_gantry_tilt(tilt: float) -> None:
    head = Head(tilt=tilt)
    assert dice(brain_mask(head.volume), head.truth) >= 0.95


def test_uneven_slices() -> None:
    z = np.concatenate([np.arange(-95.0, -40.0, 2.5), np.arange(-40.0, 75.0, 7.0)])
    head = Head(z=z)
    assert dice(brain_mask(head.volume), head.truth) >= 0.95


def test_thin_slices_are_searched_in_groups() -> None:
    head = Head(z=np.arange(-70.0, 70.0, 0.8), pixel=1.6, size=140, noise=12.0)
    assert dice(brain_mask(head.volume), head.truth) >= 0.95


@pytest.mark.parametrize("pixel", [0.45, 2.0])
def test_pixel_size_does_not_matter(pixel: float) -> None:
    head = Head(pixel=pixel, size=round(220 / pixel), z=np.arange(-20.0, 50.0, 10.0))
    assert dice(brain_mask(head.volume), head.truth) >= 0.95


@pytest.mark.parametrize("axes", [(0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)])
def test_storage_order_does_not_matter(
    adult: Head, adult_mask: npt.NDArray[np.bool_], axes: tuple[int, ...]
) -> None:
    mask = brain_mask(flipped(adult.volume, axes))
    assert np.array_equal(np.flip(mask, axes), adult_mask)
    assert mask.flags["C_CONTIGUOUS"]


def test_floats_and_padding_give_the_same_mask(
    adult: Head, adult_mask: npt.NDArray[np.bool_]
) -> None:
    hu = adult.hu.astype(np.float32)
    hu[:, :3] = np.nan
    assert np.array_equal(brain_mask(replace(adult.volume, hu=hu)), adult_mask)
    padded = adult.hu.copy()
    padded[:, :3] = np.iinfo(np.int16).min
    assert np.array_equal(brain_mask(replace(adult.volume, hu=padded)), adult_mask)


@pytest.mark.parametrize(("first", "count"), [(15, 1), (20, 1), (12, 4), (22, 8), (31, 1)])
def test_part_of_a_scan_gives_the_same_slices(
    adult: Head, adult_mask: npt.NDArray[np.bool_], first: int, count: int
) -> None:
    part = slice(first, first + count)
    volume = adult.volume
    partial = replace(volume, hu=volume.hu[part], positions=volume.positions[part])
    assert dice(brain_mask(partial), adult_mask[part]) >= 0.97


def test_nothing_where_there_is_no_head(adult: Head) -> None:
    def of(hu: npt.NDArray[np.int16]) -> npt.NDArray[np.bool_]:
        volume = CTVolume(hu, np.diag([5.0, 1, 1, 1]), np.zeros((len(hu), 3)))
        return brain_mask(volume)

    for value in (-3024, -1000, 40, 2000, np.iinfo(np.int16).min, np.iinfo(np.int16).max):
        assert not of(np.full((3, 96, 96), value, np.int16)).any()
    assert not of(np.zeros((1, 1, 1), np.int16)).any()
    assert not of(np.zeros((2, 5, 300), np.int16)).any()
    water = np.full((5, 128, 128), -1000, np.int16)
    water[:, 30:100, 30:100] = 0
    assert not of(water).any()
    neck = replace(adult.volume, hu=adult.hu[:4], positions=adult.volume.positions[:4])
    assert not brain_mask(neck).any()


def test_progress_cancel_and_method(adult: Head) -> None:
    seen: list[tuple[int, int]] = []
    part = replace(adult.volume, hu=adult.hu[18:21], positions=adult.volume.positions[18:21])
    brain_mask(part, on_progress=lambda done, total: seen.append((done, total)))
    assert seen == sorted(seen)
    assert seen[0] == (0, 100)
    assert seen[-1] == (100, 100)
    with pytest.raises(Cancelled):
        brain_mask(part, cancelled=lambda: True)
    with pytest.raises(ValueError, match="unknown brain mask method"):
        brain_mask(part, "network")


def series_folders(root: Path) -> list[Path]:
    groups = ("no_ich", "ich", "unlabelled_pathology")
    folders = [path for group in groups for path in (root / "rsna-head-ct" / group).glob("s*")]
    return [*sorted(folders), root / "ge-head-tilt"]


@pytest.mark.data
def test_real_series_agree_with_another_tool(data_root: Path) -> None:
    with open(data_root / "rsna-head-ct" / "labels.tsv") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    reference = {(row["series"], row["slice_id"]): row["intracranial_px"] for row in rows}
    volumes, ratios = [], []
    for folder in series_folders(data_root):
        volume = read(folder)
        mask = brain_mask(volume)
        volumes.append(float(mask.sum((1, 2)) @ volume.voxel_volumes_ml))
        series = f"{folder.parent.name}/{folder.name}"
        for z, name in enumerate(volume.slice_ids):
            expected = float(reference.get((series, name)) or 0)
            # The other tool loses most of the skull base and says so with a small number.
            if expected > 20000:
                ratios.append(mask[z].sum() / expected)
    assert min(volumes) > 900
    assert max(volumes) < 1900
    assert 1100 < np.median(volumes) < 1500
    assert len(ratios) > 500
    assert 0.96 < np.median(ratios) < 1.01
    assert np.mean(np.abs(np.array(ratios) - 1) < 0.1) > 0.95
