import numpy as np
import pytest
from calibrations import plain_calibration

from napari_rsna_inpaint.detection.candidates import find_candidates
from napari_rsna_inpaint.detection.evidence import slice_evidence
from napari_rsna_inpaint.detection.filters import bone_distance, smooth_inside
from napari_rsna_inpaint.detection.heatmap import DARKEST, heat, slice_score
from napari_rsna_inpaint.detection.norms import DISTANCES_MM, Normal
from napari_rsna_inpaint.detection.symmetry import opposite
from napari_rsna_inpaint.inpaint.resample import ModelGrid
from napari_rsna_inpaint.volume import CTVolume

CALIBRATION = plain_calibration()
BRAIN = np.zeros((80, 80), bool)
BRAIN[8:72, 8:72] = True
OPPOSITE = opposite(BRAIN[None], 1.0)
SPOT = np.s_[30:50, 18:32]


def evidence(hu: float, residual: float, distance: float = 20.0, norms=CALIBRATION.norms):
    """A 20 by 14 mm spot with the given density and residual in even tissue."""
    image = np.full(BRAIN.shape, 33.0, np.float32)
    image[SPOT] = hu
    difference = np.zeros(BRAIN.shape, np.float32)
    difference[SPOT] = residual
    far = np.full(BRAIN.shape, distance, np.float32)
    return slice_evidence(difference, image, BRAIN, far, norms, 1.0)


def signed(hu: float, residual: float, *neighbours):
    one = evidence(hu, residual)
    found = find_candidates(one, list(neighbours), OPPOSITE, 50.0, 1.0)
    return heat(one, found, CALIBRATION.rescorer)


def score(hu: float, residual: float) -> float:
    return float(signed(hu, residual)[40, 25])


def test_blood_that_its_completion_lacks_is_hot_and_nothing_else_is():
    heatmap = signed(65, 30)
    assert heatmap[40, 25] > 0.9
    assert not heatmap[~BRAIN].any()
    assert not heatmap[10:25, 40:].any()


def test_healthy_tissue_has_no_heat():
    assert score(33, 0) == 0


def test_calcification_is_not_blood():
    assert score(250, 215) == 0


def test_the_blurred_rim_of_a_calcification_is_not_blood_either():
    image = np.full(BRAIN.shape, 33.0, np.float32)
    image[36:44, 36:44] = 70
    far = np.full(BRAIN.shape, 20.0, np.float32)

    def bright(image):
        return slice_evidence(image - 33, image, BRAIN, far, CALIBRATION.norms, 1.0).bright.max()

    assert bright(image) > 4
    image[38:42, 38:42] = 300
    assert bright(image) == 0


def test_a_residual_beyond_all_blood_adds_nothing():
    assert evidence(65, 500).bright.max() == pytest.approx(evidence(65, 60).bright.max())


def test_bright_tissue_that_its_surroundings_foretold_counts_less():
    assert evidence(65, 0.5).bright.max() < 0.7 * evidence(65, 30).bright.max()


def test_dark_tissue_is_negative_and_never_as_hot_as_blood():
    assert -DARKEST <= score(-400, -440) < score(10, -24) < -0.05


def test_the_same_departure_counts_less_where_healthy_scans_vary_more():
    n = len(DISTANCES_MM)
    spread = tuple(np.linspace(20, 4, n))
    wide = Normal(median=(0.0,) * n, upper=spread, lower=spread)
    norms = CALIBRATION.norms.model_copy(update={"residual": wide})
    near, far = (evidence(65, 30, d, norms).bright.max() for d in (1.0, 40.0))
    assert near < far


def test_the_same_departure_counts_less_in_noise():
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 12, BRAIN.shape).astype(np.float32)
    far = np.full(BRAIN.shape, 20.0, np.float32)
    image, residual = np.full(BRAIN.shape, 33.0, np.float32), np.zeros(BRAIN.shape, np.float32)
    image[SPOT], residual[SPOT] = 60, 25
    quiet = slice_evidence(residual, image, BRAIN, far, CALIBRATION.norms, 1.0)
    loud = slice_evidence(residual + noise, image + noise, BRAIN, far, CALIBRATION.norms, 1.0)
    assert loud.z_residual[SPOT].mean() < 0.6 * quiet.z_residual[SPOT].mean()


def test_a_shift_of_the_whole_slice_changes_nothing_but_the_gate():
    far = np.full(BRAIN.shape, 20.0, np.float32)
    image, residual = np.full(BRAIN.shape, 33.0, np.float32), np.zeros(BRAIN.shape, np.float32)
    image[SPOT], residual[SPOT] = 60, 25
    one, shifted = (
        slice_evidence(residual, image + shift, BRAIN, far, CALIBRATION.norms, 1.0)
        for shift in (0, 4)
    )
    np.testing.assert_allclose(one.z_hu, shifted.z_hu, atol=1e-4)


def test_smoothing_takes_nothing_from_outside_the_brain():
    values = np.where(BRAIN, 10.0, 1000.0).astype(np.float32)
    smoothed = smooth_inside(values, BRAIN, 3.0)
    np.testing.assert_allclose(smoothed[BRAIN], 10.0, rtol=1e-4)
    assert not smoothed[~BRAIN].any()


def test_a_slice_is_scored_by_its_hottest_40_mm2():
    values = np.zeros(1000, np.float32)
    values[:20] = 0.8
    values[20:30] = -0.5
    assert slice_score(values, 1.0) == pytest.approx(0.4)
    assert slice_score(values, 2.0) == pytest.approx(0.8)
    # what is missing in a small brain counts 0
    assert slice_score(values[:10], 1.0) == pytest.approx(0.2)


def test_distance_to_bone_reaches_across_slices():
    hu = np.full((3, 64, 64), 35, np.int16)
    hu[0] = 900  # skull base below
    hu[1, 20:24, 20:24] = 300  # a calcification inside the brain is no bone
    affine = np.array(
        [[0.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 0.0], [5.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
    )
    positions = np.array([[0.0, 0.0, 5.0 * z] for z in range(3)])
    mask = np.zeros(hu.shape, bool)
    mask[1:] = True
    volume = CTVolume(hu, affine, positions)
    grid = ModelGrid.around(mask, (1.0, 1.0), 1.0, margin_mm=-16, divisor=16)
    distance = bone_distance(*grid.scan_to_model(volume.hu, mask), (5.0, 1.0, 1.0))
    np.testing.assert_allclose(distance[1], 5.0)
    np.testing.assert_allclose(distance[2], 10.0)
