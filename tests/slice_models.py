"""Small models of whole slices with weights that do something."""

from pathlib import Path

import torch
from calibrations import plain_calibration
from torch import nn

from napari_rsna_inpaint.detection.calibration import save_calibration
from napari_rsna_inpaint.diffusion.label_unet import CfgModelConfig, LabelUNet
from napari_rsna_inpaint.diffusion.model_folder import save_model
from napari_rsna_inpaint.diffusion.noisy_classifier import ClassifierConfig, GuidedModelConfig
from napari_rsna_inpaint.diffusion.unet import UNetConfig

#: Coarse, so that tests are quick.
PIXEL_MM = 2.5
TINY = UNetConfig(in_channels=2, widths=(8, 16), groups=4, time_channels=16)
TINY_CLASSIFIER = ClassifierConfig(widths=(8, 16), groups=4, time_channels=16)


def shaken(network: nn.Module, std: float = 0.1, seed: int = 0) -> nn.Module:
    """The network with random weights: the last layers start at zero, which hides what goes in."""
    torch.manual_seed(seed)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=std)
    return network.eval()


def cfg_model(folder: Path, **changes: int) -> Path:
    config = CfgModelConfig(network=TINY, pixel_mm=PIXEL_MM, **changes)
    save_model(folder, shaken(LabelUNet(TINY)), config)
    for detector in ("cfg", "onestep"):
        save_calibration(folder, detector, plain_calibration())
    return folder


def guided_model(folder: Path) -> Path:
    config = GuidedModelConfig(network=TINY, pixel_mm=PIXEL_MM, classifier=TINY_CLASSIFIER)
    networks = {name: shaken(network) for name, network in config.networks().items()}
    save_model(folder, networks, config)
    save_calibration(folder, "classifier-guidance", plain_calibration())
    return folder
