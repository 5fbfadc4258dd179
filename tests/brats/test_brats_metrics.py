import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from napari_rsna_inpaint.brats.metrics import NAMES, score, ssim_in_mask
from napari_rsna_inpaint.errors import InputRefused


@pytest.fixture
def volumes():
    rng = np.random.default_rng(0)
    truth = rng.uniform(50, 900, (14, 24, 19))
    made = truth + rng.normal(0, 80, truth.shape)
    mask = np.zeros(truth.shape, bool)
    mask[3:10, 0:15, 5:19] = True  # it touches the edge of the image
    return made, truth, np.where(mask, 0, truth), mask


def torch_ssim(made, truth, mask):
    """SSIM as torchmetrics defines it for a batch of one whose channels are the planes."""
    data_range = max(np.ptp(made), np.ptp(truth))
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    distance = torch.arange(-5, 6, dtype=torch.float64)
    window = torch.exp(-((distance / 1.5) ** 2) / 2)
    window = window / window.sum()
    kernel = torch.outer(window, window)[None, None]

    def mean(image):
        padded = F.pad(image[:, None], (5, 5, 5, 5), mode="reflect")
        return F.conv2d(padded, kernel)[:, 0]

    a, b = torch.from_numpy(made), torch.from_numpy(truth)
    mu_a, mu_b = mean(a), mean(b)
    var_a, var_b, both = mean(a * a) - mu_a**2, mean(b * b) - mu_b**2, mean(a * b) - mu_a * mu_b
    image = ((2 * mu_a * mu_b + c1) * (2 * both + c2)) / (
        (mu_a**2 + mu_b**2 + c1) * (var_a + var_b + c2)
    )
    return float(image.numpy()[mask].mean())


def test_ssim_is_that_of_torchmetrics(volumes):
    made, truth, _, mask = volumes
    made, truth = np.where(mask, made, 0), np.where(mask, truth, 0)
    assert ssim_in_mask(made, truth, mask) == pytest.approx(torch_ssim(made, truth, mask), abs=1e-9)


def test_the_definition_by_percentiles(volumes):
    made, truth, voided, mask = volumes
    result = score(*volumes)
    low, high = np.percentile(voided, [0.5, 99.5])
    own, true = (((v[mask] - low) / (high - low)).clip(0, 1) for v in (made, truth))
    mse = np.mean((own - true) ** 2)
    assert result["mse"] == pytest.approx(mse)
    assert result["rmse"] == pytest.approx(mse**0.5)
    assert result["mae"] == pytest.approx(np.abs(own - true).mean())
    assert result["psnr"] == pytest.approx(10 * np.log10(true.max() ** 2 / mse))
    assert result["psnr_01"] == pytest.approx(-10 * np.log10(mse))


def test_the_definition_by_the_maximum(volumes):
    made, truth, _, mask = volumes
    result = score(*volumes)
    own, true = made[mask] / truth[mask].max(), truth[mask] / truth[mask].max()
    mse = np.mean((own - true) ** 2)
    assert result["mse_max"] == pytest.approx(mse)
    assert result["psnr_max"] == pytest.approx(10 * np.log10(np.ptp(true) ** 2 / mse))
    images = [np.where(mask, v, 0) / truth[mask].max() for v in (made, truth)]
    assert result["ssim_max"] == pytest.approx(torch_ssim(*images, mask), abs=1e-9)


def test_a_perfect_completion(volumes):
    _, truth, voided, mask = volumes
    result = score(truth, truth, voided, mask)
    assert set(result) == set(NAMES)
    assert result["ssim"] == result["ssim_max"] == pytest.approx(1)
    assert result["mse"] == result["mse_max"] == 0
    assert result["psnr"] == np.inf


def test_nothing_outside_of_the_mask_counts(volumes):
    made, truth, voided, mask = volumes
    assert score(np.where(mask, made, 12345), truth, voided, mask) == score(*volumes)


def test_scores_do_not_depend_on_the_scanners_scale(volumes):
    made, truth, voided, mask = volumes
    scaled = score(made * 7, truth * 7, voided * 7, mask)
    assert scaled == pytest.approx(score(*volumes))


def test_without_a_mask_or_an_image_there_is_no_score(volumes):
    made, truth, voided, mask = volumes
    with pytest.raises(InputRefused, match="empty"):
        score(made, truth, voided, np.zeros_like(mask))
    with pytest.raises(InputRefused, match="empty"):
        score(made, truth, np.zeros_like(voided), mask)
