import numpy as np
import pytest
import torch

from napari_rsna_inpaint.diffusion.unet3d import UNet3dConfig
from napari_rsna_inpaint.diffusion.wavelet_model import WaveletModelConfig
from napari_rsna_inpaint.inpaint.blocks import aligned_block, block_of, blocks_around, cut_block

CONFIG = WaveletModelConfig(
    network=UNet3dConfig(widths=(8, 16), time_channels=16), block_sections=8, context_sections=2
)


def test_every_section_belongs_to_one_block_of_fixed_place():
    for section in range(20):
        block = aligned_block(block_of(section, CONFIG), CONFIG)
        assert block.core[0] <= section < block.core[1]
        assert block.core[0] % CONFIG.core_sections == 0


@pytest.mark.parametrize("depth", range(1, 12))
def test_blocks_around_a_hole_cover_it(depth):
    blocks = blocks_around(7, 6 + depth, CONFIG)
    covered = [z for block in blocks for z in range(*block.core)]
    assert covered == list(range(covered[0], covered[-1] + 1))
    assert covered[0] <= 7
    assert covered[-1] >= 6 + depth
    assert len(blocks) == -(-depth // CONFIG.core_sections)


def test_beyond_the_volume_there_is_air():
    rng = np.random.default_rng(0)
    image = rng.normal(35, 8, (11, 18, 22)).astype(np.float32)
    hole, brain = rng.random((2, *image.shape)) < 0.5
    condition = cut_block(image, hole, brain, aligned_block(0, CONFIG), CONFIG)
    assert condition.image.shape == (1, 1, 8, 20, 24)
    air = float(CONFIG.encode(torch.tensor(CONFIG.hu_window[0])))
    assert (condition.image[0, 0, :2] == air).all()
    assert (condition.image[0, 0, :, 18:] == air).all()
    assert not condition.brain[0, 0, :2].any()
    np.testing.assert_array_equal(condition.hole[0, 0, 2:, :18, :22], hole[:6])
