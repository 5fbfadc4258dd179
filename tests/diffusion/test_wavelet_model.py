import pytest
import torch

from napari_rsna_inpaint.diffusion.haar import inverse_haar
from napari_rsna_inpaint.diffusion.model_folder import save_model
from napari_rsna_inpaint.diffusion.samplers import SeededNoise
from napari_rsna_inpaint.diffusion.unet3d import UNet3d, UNet3dConfig
from napari_rsna_inpaint.diffusion.wavelet_model import (
    BAND_SCALE,
    VolumeCondition,
    WaveletDenoiser,
    WaveletModelConfig,
    load_wavelet_denoiser,
    network_input,
)
from napari_rsna_inpaint.errors import InputRefused

SMALL = UNet3dConfig(widths=(8, 16), time_channels=16)
MODES = ("default", "always-known-healthy")


def config_of(mode="always-known-healthy", **changes):
    return WaveletModelConfig(
        mode=mode, network=SMALL, block_sections=8, context_sections=2, **changes
    )


def restless(network):
    """Give weights that start at zero some value, so that all inputs count."""
    generator = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        parameter.data = 0.1 * torch.randn(parameter.shape, generator=generator)
    return network.eval()


@pytest.fixture
def condition():
    generator = torch.Generator().manual_seed(1)
    hole = torch.zeros(2, 1, 8, 16, 16)
    hole[:, :, 2:5, 4:12, 4:12] = 1
    return VolumeCondition(
        torch.randn(hole.shape, generator=generator), hole, torch.ones_like(hole)
    )


def volume_seen(inputs):
    """The noisy volume back from what the network sees."""
    return inverse_haar(inputs[:, :8] * torch.tensor(BAND_SCALE)[:, None, None, None])


def test_known_tissue_is_clean_and_noise_lies_in_the_hole(condition):
    x_t = torch.randn(condition.hole.shape)
    inputs = network_input(config_of(), x_t, condition, 0.6, 0.8, torch.randn(x_t.shape))
    assert inputs.shape == (2, 24, 4, 8, 8)
    expected = torch.where(condition.hole > 0, x_t, condition.image)
    torch.testing.assert_close(volume_seen(inputs), expected)


def test_in_the_default_mode_known_tissue_is_as_noisy_as_the_hole(condition):
    x_t, noise = torch.randn(2, *condition.hole.shape)
    inputs = network_input(config_of("default"), x_t, condition, 0.6, 0.8, noise)
    assert inputs.shape == (2, 8, 4, 8, 8)
    around = 0.6 * condition.image + 0.8 * noise
    expected = torch.where(condition.hole > 0, x_t, around)
    torch.testing.assert_close(volume_seen(inputs), expected)


def test_what_the_hole_hides_cannot_be_seen(condition):
    other = VolumeCondition(condition.image + 5 * condition.hole, condition.hole, condition.brain)
    x_t, noise = torch.randn(2, *condition.hole.shape)
    for mode in MODES:
        first, second = (
            network_input(config_of(mode), x_t, one, 0.6, 0.8, noise) for one in (condition, other)
        )
        assert torch.equal(first, second)


@pytest.mark.parametrize("isotropic", [False, True])
def test_volumes_of_a_batch_do_not_hear_of_each_other(isotropic):
    network = restless(UNet3d(SMALL.model_copy(update={"isotropic": isotropic}), 8, 8))
    x = torch.randn(2, 8, 4, 8, 8)
    t = torch.tensor([10, 500])
    both = network(x, t)
    torch.testing.assert_close(both[1:], network(x[1:], t[1:]), atol=1e-4, rtol=1e-4)


def test_planes_hear_of_the_planes_below_and_above():
    network = restless(UNet3d(SMALL, 8, 8))
    x = torch.randn(1, 8, 6, 8, 8)
    for changed, seen in ((0, 1), (5, 4)):
        y = x.clone()
        y[:, :, changed] += 1
        t = torch.tensor([3])
        assert (network(x, t) - network(y, t))[:, :, seen].abs().max() > 1e-4


@pytest.mark.parametrize("mode", MODES)
def test_a_volume_gets_the_same_bits_in_any_batch(condition, mode):
    config = config_of(mode)
    denoiser = WaveletDenoiser(restless(config.make_network()), config, torch.device("cpu"))
    x_t = torch.randn(condition.hole.shape)
    both = denoiser(x_t, 700, condition, SeededNoise([1, 2]))
    second = VolumeCondition(*(value[1:] for value in vars(condition).values()))
    assert torch.equal(both[1:], denoiser(x_t[1:], 700, second, SeededNoise([2])))


def test_predictions_stay_in_the_window(condition):
    config = config_of()
    network = config.make_network()
    torch.nn.init.constant_(network.head[-1].bias, 100.0)
    denoiser = WaveletDenoiser(network, config, torch.device("cpu"))
    alpha, sigma = config.schedule().alpha_sigma(400)
    x_t = torch.randn(condition.hole.shape)
    x0 = alpha * x_t - sigma * denoiser(x_t, 400, condition, SeededNoise([1, 2]))
    limit = float(config.encode(torch.tensor(config.hu_window[1])))
    assert x0.max() <= limit + 1e-4


def test_sides_that_do_not_fit_are_refused(condition):
    config = config_of()
    denoiser = WaveletDenoiser(config.make_network(), config, torch.device("cpu"))
    odd = VolumeCondition(*(value[..., :14] for value in vars(condition).values()))
    with pytest.raises(ValueError, match="multiples"):
        denoiser(odd.image, 5, odd, SeededNoise([1, 2]))


@pytest.mark.parametrize("wrong", [{"block_sections": 7}, {"context_sections": 4}])
def test_blocks_that_do_not_fit_are_refused(wrong):
    with pytest.raises(ValueError, match="sections"):
        WaveletModelConfig(**{"block_sections": 8, "context_sections": 2, **wrong})


def test_a_model_comes_back_from_its_folder(tmp_path, condition):
    config = config_of()
    network = restless(config.make_network())
    save_model(tmp_path / "model", network, config)
    loaded = load_wavelet_denoiser(tmp_path / "model", "cpu")
    assert loaded.config == config
    direct = WaveletDenoiser(network, config, torch.device("cpu"))
    x_t = torch.randn(condition.hole.shape)
    first, second = (d(x_t, 9, condition, SeededNoise([1, 2])) for d in (direct, loaded))
    assert torch.equal(first, second)


def test_a_model_of_another_method_is_refused(tiny_model):
    with pytest.raises(InputRefused, match="method"):
        load_wavelet_denoiser(tiny_model)


def test_the_network_as_delivered_is_small():
    parameters = sum(p.numel() for p in WaveletModelConfig().make_network().parameters())
    assert parameters < 1_050_000
