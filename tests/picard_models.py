"""A small model of the method ``picard`` for tests."""

import torch

from napari_rsna_inpaint.diffusion.model_folder import save_model
from napari_rsna_inpaint.inpaint.completion_net import CompletionConfig
from napari_rsna_inpaint.inpaint.critic_net import CriticConfig
from napari_rsna_inpaint.inpaint.plural import GENERATOR, PicardModelConfig

SMALL = PicardModelConfig(
    pixel_mm=2.0,
    network=CompletionConfig(
        widths=(8, 16),
        dilations=(1, 2, 4),
        dropout=0.5,
        dropout_layers=("coarse.context2", "fine.context3"),
    ),
    critic=CriticConfig(local_widths=(4, 8), whole_widths=(8, 8)),
)


def save_small_model(folder):
    """Write a model with random weights; returns the folder."""
    torch.manual_seed(0)
    networks = SMALL.make_networks()
    for stage in (networks[GENERATOR].coarse, networks[GENERATOR].fine):
        # the last layers start at zero, which would hide what goes in
        torch.nn.init.normal_(stage.head.weight, std=0.2)
    save_model(folder, networks, SMALL)
    return folder
