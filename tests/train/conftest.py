import hashlib

import numpy as np
import pytest

from napari_rsna_inpaint.diffusion.model import ModelConfig
from napari_rsna_inpaint.diffusion.unet import UNetConfig
from napari_rsna_inpaint.evaluate.phantom import head_phantom
from napari_rsna_inpaint.inpaint.resample import ModelGrid
from napari_rsna_inpaint.train.prepare import PreparedSeries


def phantom_series(seed: int) -> PreparedSeries:
    phantom = head_phantom(seed=seed, shape=(5, 128, 128), spacing=(5.0, 1.6, 1.6))
    grid = ModelGrid.around(phantom.brain_mask, phantom.volume.spacing[1:], 2.0, margin_mm=24.0)
    hu = np.stack([grid.image_to_model(s) for s in phantom.volume.hu]).round().astype(np.int16)
    brain = np.stack([grid.mask_to_model(m) for m in phantom.brain_mask])
    return PreparedSeries(
        f"head{seed}",
        hu,
        brain,
        np.flatnonzero(brain.any((1, 2))),
        healthy=True,
        labels=np.zeros(len(hu), np.int8),
        patient=hashlib.sha256(str(seed).encode()).hexdigest(),
    )


@pytest.fixture(scope="session")
def small() -> ModelConfig:
    network = UNetConfig(widths=(16, 32), groups=4, time_channels=16)
    return ModelConfig(network=network, pixel_mm=2.0)


@pytest.fixture(scope="session")
def series() -> list[PreparedSeries]:
    """Two phantom heads on a 2 mm grid."""
    return [phantom_series(1), phantom_series(2)]
