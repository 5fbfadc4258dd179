import numpy as np
import pytest
from calibrations import plain_calibration
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from napari_rsna_inpaint.detection.candidates import FEATURES, find_candidates
from napari_rsna_inpaint.detection.evidence import slice_evidence
from napari_rsna_inpaint.detection.rescorer import Rescorer, fit_rescorer
from napari_rsna_inpaint.detection.symmetry import opposite

NORMS = plain_calibration().norms
BRAIN = np.hypot(*(np.indices((96, 80)) - np.array([47.5, 39.5])[:, None, None])) < 36
OPPOSITE = opposite(BRAIN[None], 1.0)
LEFT, RIGHT = np.s_[40:52, 16:28], np.s_[40:52, 52:64]


def evidence(*spots, hu: float = 60.0):
    image = np.full(BRAIN.shape, 33.0, np.float32)
    for spot in spots:
        image[spot] = hu
    far = np.full(BRAIN.shape, 20.0, np.float32)
    return slice_evidence(image - 33, image, BRAIN, far, NORMS, 1.0)


def features(one, neighbours=(), below_top_mm=40.0):
    found = find_candidates(one, list(neighbours), OPPOSITE, below_top_mm, 1.0)
    largest = max(found, key=lambda c: c.part.sum())
    return dict(zip(FEATURES, largest.features, strict=True))


def test_features_say_what_they_are_called():
    f = features(evidence(LEFT))
    assert np.exp(f["log_area"]) == pytest.approx(144, rel=0.35)
    assert 50 < f["hu"] < 60  # its border is half of the surrounding tissue
    assert f["residual_hu"] == pytest.approx(27, abs=8)
    assert f["brightest_hu"] == 60
    assert np.exp(f["log_brain_area"]) == pytest.approx(BRAIN.sum())
    assert f["below_top_mm"] == 40
    assert f["z_residual"] > 2


def test_a_twin_on_the_other_side_is_noticed():
    assert features(evidence(LEFT))["opposite_side"] < 0.3
    assert features(evidence(LEFT, RIGHT))["opposite_side"] > 3


def test_support_from_neighbour_slices():
    assert np.isnan(features(evidence(LEFT))["neighbour_slices"])
    assert features(evidence(LEFT), [evidence(RIGHT)])["neighbour_slices"] == 0
    assert features(evidence(LEFT), [evidence(RIGHT), evidence(LEFT)])["neighbour_slices"] > 4


def test_thin_lines_are_longer_than_discs():
    line = features(evidence(np.s_[30:66, 30:34]))
    assert line["elongation"] > 2 * features(evidence(LEFT))["elongation"]


def test_a_bleed_in_a_faint_surrounding_is_a_candidate_of_its_own():
    image = np.full(BRAIN.shape, 33.0, np.float32)
    image[30:60, 20:60] = 45
    image[LEFT] = 70
    far = np.full(BRAIN.shape, 20.0, np.float32)
    one = slice_evidence(image - 33, image, BRAIN, far, NORMS, 1.0)
    areas = sorted(c.part.sum() for c in find_candidates(one, [], OPPOSITE, 40.0, 1.0))
    assert areas[0] < 250
    assert areas[-1] > 1000


def test_nothing_bright_no_candidates():
    assert find_candidates(evidence(), [], OPPOSITE, 40.0, 1.0) == []


@pytest.mark.parametrize("angle", [-12.0, 0.0, 9.0])
def test_the_mirror_plane_is_found_in_a_turned_head(angle):
    y, x = np.indices((120, 100)) - np.array([59.5, 49.5])[:, None, None]
    # an egg: one symmetry plane only
    head = (y / 48) ** 2 + (x / (36 + 0.15 * y)) ** 2 < 1
    turned = ndimage.rotate(head.astype(float), angle, reshape=False, order=1) > 0.5
    where = opposite(np.stack([turned] * 3), 1.0)
    mirrored = ndimage.map_coordinates(turned.astype(float), where, order=1) > 0.5
    overlap = 2 * (mirrored & turned).sum() / (mirrored.sum() + turned.sum())
    assert overlap > 0.98
    twice = [ndimage.map_coordinates(axis, where, order=1) for axis in where]
    inside = np.s_[40:80, 35:65]
    np.testing.assert_allclose(
        np.stack(twice)[:, *inside], np.indices((120, 100))[:, *inside], atol=0.5
    )


N = len(FEATURES)


def clouds(seed: int, n: int = 400):
    rng = np.random.default_rng(seed)
    healthy = rng.standard_normal((n, N))
    bleeds = rng.standard_normal((n, N))
    bleeds[:, 0] += 2.0
    bleeds[:, 1] *= 2.5
    return bleeds, healthy


def test_bleeds_get_the_higher_probability_on_other_cases():
    rescorer = fit_rescorer(*clouds(0))
    bleeds, healthy = (rescorer.probability(x) for x in clouds(1))
    assert (bleeds[:, None] > healthy[None]).mean() > 0.9
    assert ((bleeds > 0.5).mean() + (healthy < 0.5).mean()) / 2 > 0.8


def test_the_fit_is_the_optimum_that_scikit_learn_finds():
    linear_model = pytest.importorskip("sklearn.linear_model")
    from napari_rsna_inpaint.detection.rescorer import CLIP, PENALTY

    bleeds, healthy = clouds(2)
    ours = fit_rescorer(bleeds, healthy)
    x = np.concatenate([bleeds, healthy])
    z = np.clip((x - x.mean(0)) / x.std(0), -CLIP, CLIP)
    z = np.concatenate([z, z**2], 1)
    y = np.repeat([1, 0], len(bleeds))
    oracle = linear_model.LogisticRegression(C=1 / (2 * PENALTY * len(x)), tol=1e-8, max_iter=5000)
    oracle.fit(z, y)
    np.testing.assert_allclose([*ours.linear, *ours.quadratic], oracle.coef_[0], atol=2e-3)


def test_what_is_not_known_counts_nothing():
    rescorer = fit_rescorer(*clouds(0))
    one = np.zeros((1, N))
    unknown = one.copy()
    unknown[0, 0] = np.nan
    typical = one.copy()
    typical[0, 0] = rescorer.mean[0]
    assert rescorer.probability(unknown) == pytest.approx(rescorer.probability(typical))


def test_a_feature_that_was_never_known_counts_nothing():
    bleeds, healthy = clouds(0)
    bleeds[:, 7] = healthy[:, 7] = np.nan
    rescorer = Rescorer.model_validate_json(fit_rescorer(bleeds, healthy).model_dump_json())
    known, unknown = np.zeros((1, N)), np.zeros((1, N))
    known[0, 7], unknown[0, 7] = 2.0, np.nan
    assert rescorer.probability(known) == pytest.approx(rescorer.probability(unknown))


@given(st.integers(0, N - 1), st.floats(10, 1e6))
def test_what_was_never_seen_does_not_extrapolate(index, value):
    rescorer = fit_rescorer(*clouds(0, 60))
    far, farther = np.zeros((1, N)), np.zeros((1, N))
    far[0, index] = rescorer.mean[index] + 4 * rescorer.spread[index]
    farther[0, index] = rescorer.mean[index] + (4 + value) * rescorer.spread[index]
    assert rescorer.probability(far) == pytest.approx(rescorer.probability(farther))
