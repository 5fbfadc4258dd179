import numpy as np
import pytest
from scipy import ndimage

from napari_rsna_inpaint.diffusion.sharpness import edge_spread_mm, extra_sigma_mm
from napari_rsna_inpaint.errors import InputRefused
from napari_rsna_inpaint.evaluate.phantom import head_phantom


@pytest.fixture(scope="module")
def head():
    return head_phantom(0, shape=(3, 224, 192), spacing=(5.0, 1.0, 1.0))


def blurred(head, sigma_mm):
    return [
        (ndimage.gaussian_filter(hu.astype(np.float32), sigma_mm), brain)
        for hu, brain in zip(head.volume.hu, head.brain_mask, strict=True)
    ]


@pytest.mark.parametrize("sigma_mm", [0.75, 1.5, 2.0])
def test_the_spread_of_an_edge_is_that_of_all_blurs_together(head, sigma_mm):
    own = edge_spread_mm(blurred(head, 0), 1.0)
    assert 0.3 < own < 0.6  # the phantom is drawn with 0.45 mm
    both = np.hypot(own, sigma_mm)
    assert edge_spread_mm(blurred(head, sigma_mm), 1.0) == pytest.approx(both, rel=0.16)


def test_a_sharp_head_needs_nothing_and_a_blurred_one_about_its_blur(head):
    assert extra_sigma_mm(blurred(head, 0), 1.0) == 0
    assert extra_sigma_mm(blurred(head, 1.5), 1.0) == pytest.approx(1.5, abs=0.3)
    assert extra_sigma_mm(blurred(head, 3.0), 1.0) == 2.5


def test_coarser_pixels_do_not_turn_the_sigma_into_pixels(head):
    coarse = [(ndimage.zoom(i, 0.5, order=1), b[::2, ::2]) for i, b in blurred(head, 2.0)]
    assert edge_spread_mm(coarse, 2.0) == pytest.approx(2.0, abs=0.6)


def test_without_a_skull_nothing_is_guessed(head):
    with pytest.raises(InputRefused, match="give its sigma"):
        edge_spread_mm([(0 * image, brain) for image, brain in blurred(head, 0)], 1.0)
