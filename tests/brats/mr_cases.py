"""Synthetic cases: skull-stripped heads of smooth noise with a lesion."""

import nibabel as nib
import numpy as np
from scipy import ndimage

#: As the challenge stores its images: i to the left, j to the back, k to the head.
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
SHAPE = (40, 48, 37)


def save(path, array, affine=LPS):
    image = nib.Nifti1Image(array, affine)
    image.set_sform(affine, 1)
    image.set_qform(affine, 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(image, path)


def load(path):
    return np.asarray(nib.load(path).dataobj.get_unscaled())


def write_case(
    root, name="BraTS-GLI-00001-000", seed=0, affine=LPS, shape=SHAPE, dtype=np.int16, parts=None
):
    """One case; the lesion lies on one side, a healthy mask on the other."""
    rng = np.random.default_rng(seed)
    at = [np.linspace(-1, 1, n) for n in shape]
    radius = np.sqrt(sum(np.square(g) for g in np.meshgrid(*at, indexing="ij")))
    brain = radius < 0.9
    texture = ndimage.gaussian_filter(rng.standard_normal(shape), 1.5)
    t1n = (brain * (600 + 400 * texture / texture.std() * 0.3)).clip(0).astype(dtype)
    t1n[brain & (t1n <= 0)] = 1
    grid = np.indices(shape)

    def ball(center, r):
        distance = np.sqrt(sum(np.square(g - c) for g, c in zip(grid, center, strict=True)))
        return distance < r

    middle = np.array(shape) / 2
    unhealthy = ball(middle + np.array([8, 2, 3]), 5) & brain
    healthy = ball(middle - np.array([8, 2, 3]), 5) & brain
    mask = healthy | unhealthy
    files = {
        "t1n": t1n,
        "t1n-voided": np.where(mask, 0, t1n).astype(dtype),
        "mask": mask.astype(np.uint8),
        "mask-healthy": healthy.astype(np.uint8),
        "mask-unhealthy": unhealthy.astype(np.uint8),
    }
    for part, array in files.items():
        if parts is None or part in parts:
            save(root / name / f"{name}-{part}.nii.gz", array, affine)
    return files


def save_mr_model(folder):
    """A random model of MR with small blocks."""
    import torch

    from napari_rsna_inpaint.diffusion.model_folder import save_model
    from napari_rsna_inpaint.diffusion.unet3d import UNet3dConfig
    from napari_rsna_inpaint.diffusion.wavelet_model import WaveletModelConfig

    config = WaveletModelConfig(
        network=UNet3dConfig(widths=(8, 16), time_channels=16),
        hu_window=(0, 1000),
        hu_center=500,
        hu_scale=250,
        block_sections=12,
        context_sections=2,
    )
    network = config.make_network()
    generator = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        parameter.data = 0.1 * torch.randn(parameter.shape, generator=generator)
    save_model(folder, network, config)
    return folder
