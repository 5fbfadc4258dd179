import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_rsna_inpaint.diffusion.kernels import as_kernel, gaussian_kernel, motion_kernel
from napari_rsna_inpaint.errors import InputRefused

LENGTHS = st.floats(0, 12)
ANGLES = st.floats(-180, 180)
PIXELS = st.sampled_from([0.5, 1.0, 1.7])


def spread_mm(kernel, pixel_mm, axis):
    """Standard deviation of a kernel along an axis."""
    at = (np.arange(kernel.shape[axis]) - kernel.shape[axis] // 2) * pixel_mm
    return np.sqrt((kernel.sum(1 - axis) * at**2).sum())


@given(LENGTHS, ANGLES, PIXELS)
@settings(max_examples=50, deadline=None)
def test_a_motion_keeps_the_density_and_the_place(length_mm, angle_deg, pixel_mm):
    kernel = motion_kernel(length_mm, angle_deg, pixel_mm)
    assert kernel.sum() == pytest.approx(1)
    assert all(side % 2 for side in kernel.shape)
    assert (kernel >= 0).all()
    np.testing.assert_allclose(kernel, kernel[::-1, ::-1], atol=1e-12)
    turned = motion_kernel(length_mm, angle_deg + 180, pixel_mm)
    np.testing.assert_allclose(kernel, turned, atol=1e-12)


@given(st.floats(0, 4), PIXELS)
@settings(max_examples=50, deadline=None)
def test_a_gaussian_keeps_the_density_and_the_place(sigma_mm, pixel_mm):
    kernel = gaussian_kernel(sigma_mm, pixel_mm)
    assert kernel.sum() == pytest.approx(1)
    assert all(side % 2 for side in kernel.shape)
    np.testing.assert_allclose(kernel, kernel[::-1])
    np.testing.assert_allclose(kernel, kernel.T)


@pytest.mark.parametrize("pixel_mm", [0.5, 1.0])
def test_widths_are_millimetres_whatever_the_pixels(pixel_mm):
    for axis in (0, 1):
        assert spread_mm(gaussian_kernel(2.0, pixel_mm), pixel_mm, axis) == pytest.approx(2, 0.01)
    along = motion_kernel(8.0, 0, pixel_mm)
    assert spread_mm(along, pixel_mm, 1) == pytest.approx(8 / np.sqrt(12), rel=0.05)
    assert spread_mm(along, pixel_mm, 0) == pytest.approx(0, abs=1e-6)


def test_motion_turns_from_left_to_posterior():
    kernel = motion_kernel(8.0, 45, 1.0)
    assert np.trace(kernel) > 0.5
    assert np.trace(kernel[::-1]) < 0.2
    np.testing.assert_allclose(motion_kernel(8.0, 90, 1.0), motion_kernel(8.0, 0, 1.0).T, atol=1e-9)


def test_nothing_blurs_nothing():
    for kernel in (gaussian_kernel(0, 1.0), motion_kernel(0, 30, 1.0)):
        middle = tuple(side // 2 for side in kernel.shape)
        assert kernel[middle] == pytest.approx(1)


def test_a_gaussian_is_that_of_scipy():
    image = np.zeros((41, 41))
    image[20, 20] = 1
    expected = ndimage.gaussian_filter(image, 1.3, truncate=6 / 1.3)[14:27, 14:27]
    np.testing.assert_allclose(gaussian_kernel(1.3, 1.0), expected, atol=1e-6)


@pytest.mark.parametrize(
    "values",
    [np.ones((2, 3)), np.ones(3), np.zeros((3, 3)), [[1, -1, 3]], [[1, np.nan, 1]]],
)
def test_what_is_no_kernel_is_refused(values):
    with pytest.raises(InputRefused):
        as_kernel(values)


def test_negative_widths_are_refused():
    with pytest.raises(InputRefused, match="-1 mm"):
        gaussian_kernel(-1, 1.0)
    with pytest.raises(InputRefused, match="-1 mm"):
        motion_kernel(-1, 0, 1.0)
