import numpy as np
import pytest

from napari_rsna_inpaint.detection.calibration import DISTANCES_MM, Calibration, Normal
from napari_rsna_inpaint.detection.heatmap import bone_distance, heat, smooth_inside
from napari_rsna_inpaint.inpaint.resample import ModelGrid
from napari_rsna_inpaint.volume import CTVolume

N = len(DISTANCES_MM)
FLAT = Calibration(
    protocol="fast",
    residual=Normal(median=(0.0,) * N, upper=(5.0,) * N, lower=(5.0,) * N),
    hu=Normal(median=(34.0,) * N, upper=(4.0,) * N, lower=(8.0,) * N),
    n_scans=1,
    n_slices=1,
)
BRAIN = np.zeros((80, 80), bool)
BRAIN[8:72, 8:72] = True
SPOT = np.s_[30:50, 30:50]


def score(hu: float, residual: float, distance: float = 20.0, calibration=FLAT) -> float:
    """Score in the middle of a 20 mm spot with the given density and residual."""
    image = np.full(BRAIN.shape, 34.0, np.float32)
    image[SPOT] = hu
    difference = np.zeros(BRAIN.shape, np.float32)
    difference[SPOT] = residual
    far = np.full(BRAIN.shape, distance, np.float32)
    signed = heat(difference, image, BRAIN, far, calibration, 1.0)
    assert not signed[~BRAIN].any()
    assert np.abs(signed[12:20, 12:20]).max() == pytest.approx(0, abs=1e-5)
    return float(signed[40, 40])


def test_blood_that_its_completion_lacks_scores_high():
    assert score(65, 30) > 8


def test_healthy_tissue_scores_nothing():
    assert score(34, 0) == pytest.approx(0, abs=1e-5)


def test_calcification_is_not_blood():
    assert score(250, 215) == 0


def test_the_blurred_rim_of_a_calcification_is_not_blood_either():
    image = np.full(BRAIN.shape, 34.0, np.float32)
    image[36:44, 36:44] = 70
    image[38:42, 38:42] = 300
    far = np.full(BRAIN.shape, 20.0, np.float32)
    assert heat(image - 34, image, BRAIN, far, FLAT, 1.0).max() == 0
    image[38:42, 38:42] = 70
    assert heat(image - 34, image, BRAIN, far, FLAT, 1.0).max() > 4


def test_a_residual_beyond_all_blood_adds_nothing():
    assert score(65, 500) == pytest.approx(score(65, 60))


def test_bright_tissue_that_its_surroundings_foretold_scores_less():
    assert score(65, 0.5) < 0.7 * score(65, 30)


def test_dark_tissue_scores_negative_and_less():
    assert -score(65, 30) < score(10, -24) < -1


def test_the_same_departure_counts_less_where_healthy_scans_vary_more():
    spread = tuple(np.linspace(20, 4, N))
    calibration = FLAT.model_copy(
        update={"residual": Normal(median=(0.0,) * N, upper=spread, lower=spread)}
    )
    near, far = (score(65, 30, d, calibration) for d in (1.0, 40.0))
    assert near < far


def test_smoothing_takes_nothing_from_outside_the_brain():
    values = np.where(BRAIN, 10.0, 1000.0).astype(np.float32)
    smoothed = smooth_inside(values, BRAIN, 3.0)
    np.testing.assert_allclose(smoothed[BRAIN], 10.0, rtol=1e-4)
    assert not smoothed[~BRAIN].any()


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
    distance = bone_distance(volume, mask, grid, 1.0)
    np.testing.assert_allclose(distance[1], 5.0)
    np.testing.assert_allclose(distance[2], 10.0)
