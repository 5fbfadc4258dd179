import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_rsna_inpaint.inpaint.resample import AIR_HU, ModelGrid


def disc(n: int = 200, radius: float = 60.0, center=(100.0, 100.0)) -> np.ndarray:
    y, x = np.mgrid[:n, :n]
    return ((y - center[0]) ** 2 + (x - center[1]) ** 2 < radius**2)[None]


@given(spacing=st.floats(0.3, 1.4), pixel=st.floats(0.7, 1.3))
@settings(max_examples=30, deadline=None)
def test_a_linear_image_survives_the_way_there_and_back(spacing, pixel):
    grid = ModelGrid.around(disc(), (spacing, spacing), pixel)
    y, x = np.mgrid[:200, :200]
    image = (20 + 0.1 * y - 0.05 * x).astype(np.float32)
    back = grid.to_native(grid.image_to_model(image))
    inside = disc(radius=55)[0]
    np.testing.assert_allclose(back[inside], image[inside], atol=0.05)


@given(row=st.integers(70, 130), column=st.integers(70, 130))
@settings(max_examples=30, deadline=None)
def test_the_way_back_is_registered(row, column):
    """A bright spot comes back where it was, to a tenth of a pixel."""
    image = np.zeros((200, 200), np.float32)
    image[row - 2 : row + 3, column - 2 : column + 3] = 1
    grid = ModelGrid.around(disc(), (0.45, 0.45), 1.0)
    back = grid.to_native(grid.average(image))
    y, x = np.mgrid[:200, :200]
    total = back.sum()
    assert (back * y).sum() / total == pytest.approx(row, abs=0.1)
    assert (back * x).sum() / total == pytest.approx(column, abs=0.1)


def test_averaging_keeps_the_mean():
    rng = np.random.default_rng(0)
    image = np.zeros((200, 200), np.float32)
    image[80:120, 80:120] = rng.normal(40, 10, (40, 40))
    grid = ModelGrid.around(disc(), (0.5, 0.5), 1.0)
    assert grid.average(image).sum() * 4 == pytest.approx(image.sum(), rel=1e-4)


@given(
    spacing=st.tuples(st.floats(0.3, 1.2), st.floats(0.3, 1.2)),
    center=st.tuples(st.floats(70, 130), st.floats(70, 130)),
)
@settings(max_examples=30, deadline=None)
def test_the_grid_holds_the_brain_and_its_margin(spacing, center):
    mask = disc(center=center)
    grid = ModelGrid.around(mask, spacing, 1.0, margin_mm=8.0, divisor=16)
    assert grid.shape[0] % 16 == grid.shape[1] % 16 == 0
    model = grid.mask_to_model(mask[0])
    for axis in (0, 1):
        inside = np.flatnonzero(model.any(1 - axis))
        assert inside[0] >= 7
        assert inside[-1] <= grid.shape[axis] - 8
    area_mm2 = mask.sum() * spacing[0] * spacing[1]
    assert model.sum() == pytest.approx(area_mm2, rel=0.02)


def test_beyond_the_slice_is_air():
    mask = np.zeros((1, 60, 60), bool)
    mask[0, :, :] = True
    grid = ModelGrid.around(mask, (1.0, 1.0), 1.0, margin_mm=10)
    image = grid.image_to_model(np.full((60, 60), 40, np.int16))
    assert image[0, 0] == AIR_HU
    assert image[grid.shape[0] // 2, grid.shape[1] // 2] == pytest.approx(40)


def test_an_empty_mask_gives_a_small_grid():
    grid = ModelGrid.around(np.zeros((3, 64, 64), bool), (1.0, 1.0), 1.0)
    assert grid.image_to_model(np.zeros((64, 64), np.int16)).shape == grid.shape
