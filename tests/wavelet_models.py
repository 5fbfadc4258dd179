"""A small wavelet model for tests."""

import torch

from napari_rsna_inpaint.diffusion.model_folder import save_model
from napari_rsna_inpaint.diffusion.unet3d import UNet3dConfig
from napari_rsna_inpaint.diffusion.wavelet_model import WaveletModelConfig


def save_small_model(folder, mode="always-known-healthy"):
    """Write a random model of 2 mm pixels and blocks of 8 sections, 4 of which it contributes."""
    config = WaveletModelConfig(
        mode=mode,
        network=UNet3dConfig(widths=(8, 16), time_channels=16),
        pixel_mm=2.0,
        block_sections=8,
        context_sections=2,
    )
    network = config.make_network()
    generator = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        parameter.data = 0.1 * torch.randn(parameter.shape, generator=generator)
    save_model(folder, network, config)
    return folder
