import json
import time
from dataclasses import replace

import numpy as np
import pytest
from annotations import result

from napari_rsna_inpaint.detection.planes import Planes
from napari_rsna_inpaint.detection.result import Detection
from napari_rsna_inpaint.learning.features import FEATURES, MARGIN_MM, finding_features
from napari_rsna_inpaint.volume import CTVolume

SHAPE, PIXEL_MM, SLICE_MM = (20, 96, 96), 2.0, 5.0


def head(step=(SLICE_MM, PIXEL_MM, PIXEL_MM)) -> tuple[CTVolume, np.ndarray]:
    """A brain of 30 HU, half axes 60 and 72 mm, in a skull; no head in the end slices."""
    y, x = np.indices(SHAPE[1:]) - 47.5
    radius = np.hypot(y / 36, x / 30)
    hu = np.where(radius < 1, 30, np.where(radius < 1.15, 900, -1000)).astype(np.int16)
    hu = np.repeat(hu[None], SHAPE[0], 0)
    hu[[0, -1]] = -1000
    brain = hu == 30
    affine = np.eye(4)
    affine[:3, :3] = np.zeros((3, 3))
    affine[2, 0], affine[1, 1], affine[0, 2] = step
    positions = np.stack([np.zeros(20), np.zeros(20), step[0] * np.arange(20)], 1)
    return CTVolume(hu, affine, positions), brain


BOXES = [
    (slice(10, 12), slice(44, 52), slice(26, 32)),  # to the right of the middle
    (slice(14, 15), slice(20, 26), slice(46, 50)),  # in front, on the midline
    (slice(8, 10), slice(45, 50), slice(73, 77)),  # at the skull
]


def measured(volume, brain, boxes=BOXES, further=1) -> dict[str, dict[str, float]]:
    volume.hu[boxes[0]] = 70
    features = finding_features(volume, result(volume, boxes, brain, further))
    return {name: dict(zip(FEATURES, values, strict=True)) for name, values in features.items()}


def test_every_region_has_every_feature_those_below_the_threshold_too():
    found = measured(*head())
    assert list(found) == ["F1", "F2", "F3"]
    values = np.array([list(one.values()) for one in found.values()])
    assert np.isfinite(values).all()
    assert json.loads(json.dumps(found)) == found


def test_places_are_measured_in_mm_from_the_brain():
    found = measured(*head())
    right, front, skull = found["F1"], found["F2"], found["F3"]
    assert right["midline_mm"] == pytest.approx(38, abs=3)
    assert front["midline_mm"] == pytest.approx(0, abs=3)
    assert front["on_midline"] > 0.7 > 0.05 > right["on_midline"]
    assert front["front_to_back"] < -0.5
    assert right["front_to_back"] == pytest.approx(0, abs=0.15)
    # the uppermost slice with brain is number 18
    assert front["below_top_mm"] == 4 * SLICE_MM
    assert right["height_mm"] == 2 * SLICE_MM
    assert skull["bone_mm"] < 10 < right["bone_mm"] <= MARGIN_MM


def test_what_a_region_looks_like_is_measured_in_hu():
    right = measured(*head())["F1"]
    assert right["mean_hu"] == right["highest_hu"] == 70
    assert right["contrast_hu"] == right["asymmetry_hu"] == 40
    assert right["spread_hu"] == 0
    assert right["mean_residual_hu"] == 20
    assert right["opposite_residual_hu"] == 0


@pytest.mark.parametrize("axes", [(0,), (1,), (0, 1), (0, 1, 2)])
def test_the_order_of_the_voxels_does_not_matter(axes):
    """A scan that is stored from top to bottom, or from back to front, is the same scan."""
    volume, brain = head()
    expected = measured(volume, brain)
    affine = volume.affine.copy()
    affine[:, list(axes)] *= -1
    positions = volume.positions[::-1] if 0 in axes else volume.positions
    turned = replace(
        volume, hu=np.flip(volume.hu, axes).copy(), affine=affine, positions=positions.copy()
    )
    boxes = [
        tuple(
            slice(n - side.stop, n - side.start) if axis in axes else side
            for axis, (side, n) in enumerate(zip(box, SHAPE, strict=True))
        )
        for box in BOXES
    ]
    found = measured(turned, np.flip(brain, axes).copy(), boxes)
    for name, one in expected.items():
        # lattices start elsewhere, so borders may move by a pixel
        assert found[name] == pytest.approx(one, abs=4.1, rel=0.1), name


def test_images_that_are_computed_when_looked_at_give_the_same():
    volume, brain = head()
    detection = result(volume, BOXES, brain, 1)
    asked: list[int] = []

    def lazily(array):
        def compute(z, rows, columns):
            asked.append(z)
            return array[z][rows][:, columns]

        return Planes(array.shape, array.dtype, compute)

    maps = replace(
        detection.maps, **{name: lazily(one) for name, one in vars(detection.maps).items()}
    )
    lazy = Detection(
        maps, detection.findings, detection.slice_scores, detection.done, further=detection.further
    )
    assert finding_features(volume, lazy) == finding_features(volume, detection)
    assert not {"labels", "residual", "brain_mask"} & set(vars(lazy))  # no whole array was made
    assert asked


def test_no_regions_no_features():
    volume, brain = head()
    assert finding_features(volume, result(volume, [], brain)) == {}


def test_values_that_are_not_finite_count_as_air():
    volume, brain = head()
    broken = replace(volume, hu=volume.hu.astype(np.float32))
    broken.hu[9, 40, 20] = np.nan
    broken.hu[9, 41, 20] = np.inf
    values = finding_features(broken, result(broken, BOXES, brain))["F1"]
    assert np.isfinite(values).all()


def test_twenty_regions_of_a_usual_scan_take_a_moment():
    y, x = np.indices((512, 512)) - 255.5
    brain = np.repeat((np.hypot(y / 180, x / 150) < 1)[None], 34, 0)
    affine = np.eye(4)
    affine[:3, :3] = [[0, 0, 0.49], [0, 0.49, 0], [5, 0, 0]]
    positions = np.stack([np.zeros(34), np.zeros(34), 5.0 * np.arange(34)], 1)
    volume = CTVolume(np.where(brain, 30, 900).astype(np.int16), affine, positions)
    boxes = [
        (slice(k, k + 3), slice(150 + 8 * k, 180 + 8 * k), slice(150 + 9 * k, 190 + 9 * k))
        for k in range(4, 24)
    ]
    detection = result(volume, boxes, brain)
    start = time.process_time()
    assert len(finding_features(volume, detection)) == 20
    assert time.process_time() - start < 1.0  # 0.1 s on a free machine
