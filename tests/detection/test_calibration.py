import numpy as np
import pytest

from napari_rsna_inpaint.detection.calibration import (
    DISTANCES_MM,
    HealthyPixels,
    fit_calibration,
    load_calibration,
    save_calibration,
)
from napari_rsna_inpaint.errors import InputRefused


def healthy(seed: int = 0, n: int = 200_000) -> HealthyPixels:
    """Residual wide near bone and skewed upwards; HU rising towards bone."""
    rng = np.random.default_rng(seed)
    distance = rng.uniform(0, 45, n).astype(np.float32)
    spread = 3 + 10 * np.exp(-distance / 4)
    noise = rng.standard_normal(n)
    residual = (2 + np.where(noise > 0, 1.5, 1.0) * spread * noise).astype(np.float32)
    hu = (34 + 6 * np.exp(-distance / 3) + 4 * rng.standard_normal(n)).astype(np.float32)
    return HealthyPixels(residual, hu, distance)


def test_healthy_pixels_look_the_same_everywhere_after_calibration():
    calibration = fit_calibration([healthy(0)], protocol="fast", n_scans=1)
    other = healthy(1)
    z = calibration.residual.z(other.residual, other.distance_mm)
    for low, high in ((0.5, 2), (4, 8), (15, 30)):
        inside = (other.distance_mm > low) & (other.distance_mm < high)
        assert np.median(z[inside]) == pytest.approx(0, abs=0.1)
        assert np.quantile(z[inside], 0.98) == pytest.approx(2.05, abs=0.25)
        assert np.quantile(z[inside], 0.02) == pytest.approx(-2.05, abs=0.25)


def test_the_same_residual_means_less_near_bone():
    calibration = fit_calibration([healthy()], protocol="fast", n_scans=1)
    near, far = calibration.residual.z(
        np.array([20.0, 20.0], np.float32), np.array([1.0, 30.0], np.float32)
    )
    assert near < 0.5 * far


def test_stored_and_loaded_per_protocol(tmp_path):
    fast, full = (
        fit_calibration([healthy(i)], protocol=name, n_scans=i)
        for i, name in ((2, "fast"), (3, "full"))
    )
    save_calibration(tmp_path, fast)
    save_calibration(tmp_path, full)
    assert load_calibration(tmp_path, "full") == full
    assert load_calibration(tmp_path, "fast") == fast
    assert load_calibration(tmp_path, "interactive") == fast
    assert load_calibration(tmp_path, "reference") == full


def test_no_healthy_scan_is_refused():
    with pytest.raises(InputRefused, match="healthy scans"):
        fit_calibration([], protocol="fast", n_scans=0)


def test_too_little_brain_near_bone_is_refused():
    pixels = healthy()
    far = pixels.distance_mm > 20
    with pytest.raises(InputRefused, match="near bone"):
        fit_calibration(
            [HealthyPixels(pixels.residual[far], pixels.hu[far], pixels.distance_mm[far])],
            protocol="fast",
            n_scans=1,
        )


def test_shallow_heads_extend_their_deepest_bin():
    pixels = healthy()
    shallow = pixels.distance_mm < 30
    calibration = fit_calibration(
        [HealthyPixels(pixels.residual[shallow], pixels.hu[shallow], pixels.distance_mm[shallow])],
        protocol="fast",
        n_scans=1,
    )
    assert calibration.hu.median[-1] == calibration.hu.median[DISTANCES_MM.index(26.0)]


@pytest.mark.parametrize("content", ["", "{}", '{"protocols": {"fast": {}}}'])
def test_a_model_without_usable_calibration_says_what_to_do(tmp_path, content):
    (tmp_path / "calibration.json").write_text(content)
    with pytest.raises(InputRefused, match="rsna-inpaint calibrate"):
        load_calibration(tmp_path, "fast")
