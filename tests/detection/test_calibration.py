import numpy as np
import pytest
from calibrations import plain_calibration

from napari_rsna_inpaint.detection.calibration import load_calibration, save_calibration
from napari_rsna_inpaint.detection.norms import DISTANCES_MM, HealthyPixels, fit_norms
from napari_rsna_inpaint.errors import InputRefused


def healthy(seed: int = 0, n: int = 200_000) -> HealthyPixels:
    """Residual wide near bone and skewed upwards; HU rising towards bone."""
    rng = np.random.default_rng(seed)
    distance = rng.uniform(0, 45, n).astype(np.float32)
    spread = 3 + 10 * np.exp(-distance / 4)
    noise = rng.standard_normal(n)
    residual = (2 + np.where(noise > 0, 1.5, 1.0) * spread * noise).astype(np.float32)
    hu = (34 + 6 * np.exp(-distance / 3) + 4 * rng.standard_normal(n)).astype(np.float32)
    return HealthyPixels(residual, hu, hu, distance)


def test_healthy_pixels_look_the_same_everywhere_after_calibration():
    norms = fit_norms([healthy(0)], noise_hu=3.0)
    other = healthy(1)
    z = norms.residual.z(other.residual, other.distance_mm)
    for low, high in ((0.5, 2), (4, 8), (15, 30)):
        inside = (other.distance_mm > low) & (other.distance_mm < high)
        assert np.median(z[inside]) == pytest.approx(0, abs=0.1)
        assert np.quantile(z[inside], 0.98) == pytest.approx(2.05, abs=0.25)
        assert np.quantile(z[inside], 0.02) == pytest.approx(-2.05, abs=0.25)


def test_the_same_residual_means_less_near_bone():
    norms = fit_norms([healthy()], noise_hu=3.0)
    near, far = norms.residual.z(
        np.array([20.0, 20.0], np.float32), np.array([1.0, 30.0], np.float32)
    )
    assert near < 0.5 * far


def test_stored_and_loaded_per_protocol(tmp_path):
    fast, full = (
        plain_calibration(protocol=name, n_scans=i) for i, name in ((2, "fast"), (3, "full"))
    )
    save_calibration(tmp_path, "grid", fast)
    save_calibration(tmp_path, "grid", full)
    assert load_calibration(tmp_path, "grid", "full") == full
    assert load_calibration(tmp_path, "grid", "fast") == fast
    assert load_calibration(tmp_path, "grid", "interactive") == fast
    assert load_calibration(tmp_path, "grid", "reference") == full


def test_a_file_of_an_older_version_is_replaced(tmp_path):
    (tmp_path / "calibration.json").write_text('{"schema": 1, "protocols": {"full": {}}}')
    save_calibration(tmp_path, "grid", plain_calibration())
    assert load_calibration(tmp_path, "grid", "full").protocol == "fast"


def test_no_healthy_scan_is_refused():
    with pytest.raises(InputRefused, match="healthy scans"):
        fit_norms([], noise_hu=3.0)


def part(pixels: HealthyPixels, chosen) -> HealthyPixels:
    return HealthyPixels(**{name: values[chosen] for name, values in vars(pixels).items()})


def test_too_little_brain_is_refused():
    pixels = healthy()
    with pytest.raises(InputRefused, match="too little brain"):
        fit_norms([part(pixels, pixels.distance_mm < 2)], noise_hu=3.0)
    with pytest.raises(InputRefused, match="too little brain"):
        fit_norms([part(pixels, np.s_[:500])], noise_hu=3.0)


def test_shallow_heads_extend_their_deepest_bin():
    pixels = healthy()
    norms = fit_norms([part(pixels, pixels.distance_mm < 30)], noise_hu=3.0)
    assert norms.hu.median[-1] == norms.hu.median[DISTANCES_MM.index(26.0)]


def test_coarse_pixels_extend_their_shallowest_bin():
    """No pixel of 2 mm has its centre nearer than 2 mm to bone."""
    pixels = healthy()
    norms = fit_norms([part(pixels, pixels.distance_mm >= 2)], noise_hu=3.0)
    whole = fit_norms([pixels], noise_hu=3.0)
    near, further = (DISTANCES_MM.index(at) for at in (2.5, 3.5))
    for name in ("median", "upper", "lower"):
        found, expected = getattr(norms.residual, name), getattr(whole.residual, name)
        assert found[: near + 1] == (found[near],) * (near + 1)
        assert found[further:] == expected[further:]


@pytest.mark.parametrize("content", ["", "{}", '{"detectors": {"grid": {"fast": {}}}}'])
def test_a_model_without_usable_calibration_says_what_to_do(tmp_path, content):
    (tmp_path / "calibration.json").write_text(content)
    with pytest.raises(InputRefused, match="rsna-inpaint calibrate"):
        load_calibration(tmp_path, "grid", "fast")


@pytest.mark.parametrize("n", [9, 27, 200])
@pytest.mark.parametrize("rate", [0.1, 0.3])
def test_at_most_the_chosen_rate_of_other_healthy_scans_is_flagged(n, rate):
    rng = np.random.default_rng(n)
    flagged = [
        rng.random()
        > plain_calibration(healthy_scan_scores=tuple(sorted(rng.random(n)))).scan_threshold(rate)
        for _ in range(4000)
    ]
    assert np.mean(flagged) < rate + 0.02


def test_too_few_healthy_scans_flag_nothing():
    few = plain_calibration(healthy_scan_scores=(0.1,) * 8)
    assert few.scan_threshold(0.1) == np.inf


def test_where_every_healthy_scan_may_be_flagged_the_lowest_score_decides():
    assert plain_calibration(healthy_scan_scores=(0.1, 0.2, 0.3)).scan_threshold(1.0) == 0.1
