import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_rsna_inpaint.diffusion.haar import SUBBANDS, haar, inverse_haar

sides = st.integers(1, 4)


@st.composite
def volumes(draw):
    shape = [draw(st.integers(1, 2)), draw(st.integers(1, 2)), *(2 * draw(sides) for _ in "zyx")]
    seed = draw(st.integers(0, 2**31))
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@given(volumes())
def test_the_inverse_gives_the_volume_back(x):
    torch.testing.assert_close(inverse_haar(haar(x)), x)


@given(volumes())
def test_the_sum_of_squares_is_kept(x):
    """Parseval: the transform is orthonormal."""
    torch.testing.assert_close(haar(x).square().sum(), x.square().sum())


@given(volumes())
def test_it_is_the_transform_of_pywavelets(x):
    pywt = pytest.importorskip("pywt")
    ours = haar(x)
    for channel in range(x.shape[1]):
        theirs = pywt.dwtn(x[:, channel].numpy(), "haar", axes=(1, 2, 3))
        for number, name in enumerate(SUBBANDS):
            key = name.replace("L", "a").replace("H", "d")
            np.testing.assert_allclose(ours[:, 8 * channel + number], theirs[key], atol=1e-12)


def test_constant_volumes_have_means_only():
    bands = haar(torch.ones(1, 1, 4, 4, 4))
    torch.testing.assert_close(bands[:, 0], torch.full((1, 2, 2, 2), 8**0.5))
    assert bands[:, 1:].abs().max() < 1e-6


def test_noise_stays_standard_normal_in_every_band():
    bands = haar(torch.randn(1, 1, 32, 64, 64, generator=torch.Generator().manual_seed(0)))
    assert bands.mean((0, 2, 3, 4)).abs().max() < 0.03
    assert (bands.std((0, 2, 3, 4)) - 1).abs().max() < 0.03


def test_odd_sides_are_refused():
    with pytest.raises(ValueError, match="even"):
        haar(torch.zeros(1, 1, 3, 4, 4))
