import numpy as np
import pytest

from napari_rsna_inpaint.detection.findings import find
from napari_rsna_inpaint.volume import CTVolume

SPACING = (5.0, 0.5, 0.5)
PEAK = 0.7


def volume(gaps=(5.0,) * 9) -> CTVolume:
    z = np.concatenate([[0.0], np.cumsum(gaps)])
    affine = np.eye(4)
    affine[:3, 0] = (0, 0, z[-1] / 9)
    affine[:3, 1] = (0, 0.5, 0)
    affine[:3, 2] = (0.5, 0, 0)
    positions = np.stack([0 * z, 0 * z, z], 1)
    return CTVolume(np.full((10, 64, 64), 35, np.int16), affine, positions)


def maps(blobs):
    heat = np.zeros((10, 64, 64), np.float32)
    for box, value in blobs:
        heat[box] = value
    return heat, 40 * heat


def run(blobs, ct=None):
    heat, residual = maps(blobs)

    def scale_means(region):
        mean = residual[region.box][region.part].mean()
        return np.array([mean, 0.1 * mean])

    found, _ = find(heat, residual, ct or volume(), [16.0, 32.0], scale_means, PEAK)
    labels = np.zeros(heat.shape, int)
    for number, (_, region) in enumerate(found, start=1):
        labels[region.box][region.part] = number
    return [finding for finding, _ in found], labels


BIG = (np.s_[3:6, 10:30, 10:30], 0.8)
SMALL = (np.s_[7:8, 40:52, 40:52], 0.8)
DARK = (np.s_[1:3, 40:60, 5:25], -0.4)


def test_regions_are_listed_by_score_with_their_measures():
    findings, labels = run([SMALL, BIG, DARK])
    assert [f.id for f in findings] == ["F1", "F2", "F3"]
    assert [f.sign for f in findings] == ["hyper", "hyper", "hypo"]
    assert [f.score for f in findings] == sorted((f.score for f in findings), reverse=True)
    first = findings[0]
    assert first.slices == (3, 5)
    assert first.bbox == (3, 10, 10, 6, 30, 30)
    assert first.area_mm2 == pytest.approx(100.0)
    assert first.volume_ml == pytest.approx(1.5)
    assert first.centroid_mm == pytest.approx((9.75, 9.75, 20.0))
    assert first.mean_residual_hu == pytest.approx(32.0)
    assert (labels[BIG[0]] == 1).all()
    assert sorted(np.unique(labels)) == [0, 1, 2, 3]


def test_only_the_sizes_that_agree_are_named():
    findings, _ = run([BIG])
    assert findings[0].scales == [16.0]


def test_bright_and_dark_neighbours_stay_apart():
    touching = (np.s_[3:6, 10:30, 30:50], -0.4)
    findings, _ = run([BIG, touching])
    assert sorted(f.sign for f in findings) == ["hyper", "hypo"]


@pytest.mark.parametrize(
    "blob",
    [
        (np.s_[3:4, 10:15, 10:15], 0.9),  # 6 mm2: too small
        (np.s_[3:6, 10:30, 10:30], 0.6),  # large, but never above the peak
    ],
)
def test_noise_is_not_listed(blob):
    findings, labels = run([blob])
    assert findings == []
    assert not labels.any()


def test_volume_follows_uneven_slice_spacing():
    # slice 4 lies between gaps of 2 and 8 mm and stands for 5 mm, slice 3 for 3.5 mm
    ct = volume((5.0, 5.0, 5.0, 2.0, 8.0, 5.0, 5.0, 5.0, 5.0))
    findings, _ = run([(np.s_[3:5, 10:30, 10:30], 0.8)], ct)
    assert findings[0].volume_ml == pytest.approx(100 * (3.5 + 5.0) / 1000)
    assert findings[0].centroid_mm[2] == pytest.approx(16.0)


def test_nothing_is_found_where_nothing_is():
    assert run([])[0] == []


def test_bright_regions_below_the_threshold_are_kept_apart_with_numbers_that_go_on():
    faint = [(np.s_[z : z + 1, 2:22, 2:22], 0.31 + z / 100) for z in (0, 7, 9)]
    heat, residual = maps([BIG, *faint, (np.s_[1:3, 40:60, 5:25], -0.2)])
    found, further = find(heat, residual, volume(), [16.0], lambda region: np.ones(1), PEAK)
    assert [finding.id for finding, _ in found] == ["F1"]
    assert [finding.id for finding, _ in further] == ["F2", "F3", "F4"]
    assert [finding.slices[0] for finding, _ in further] == [9, 7, 0]
    assert {finding.sign for finding, _ in further} == {"hyper"}


def test_only_the_hottest_further_regions_are_kept():
    heats = np.linspace(0.31, 0.6, 25)
    boxes = [np.s_[z, 5:15, x : x + 10] for z in range(0, 10, 2) for x in range(0, 60, 12)]
    heat, residual = maps(zip(boxes, heats, strict=True))
    found, further = find(heat, residual, volume(), [16.0], lambda region: np.ones(1), PEAK)
    assert not found
    assert [finding.score for finding, _ in further] == pytest.approx(heats[:4:-1])
