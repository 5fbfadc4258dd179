import os
import tempfile
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault(
    "NAPARI_CONFIG", os.path.join(tempfile.mkdtemp(prefix="napari-"), "settings.yaml")
)

import pytest


@pytest.fixture(scope="session")
def data_root() -> Path:
    """Folder of real head CT series; not part of the repository."""
    root = os.environ.get("RSNA_INPAINT_DATA")
    if not root or not Path(root).is_dir():
        pytest.skip("real series absent: set RSNA_INPAINT_DATA to their folder")
    return Path(root).resolve()


def plain_calibration(**changes):
    """Norms that are the same at every depth; heat that follows residual and HU alone."""
    from napari_rsna_inpaint.detection.calibration import Calibration
    from napari_rsna_inpaint.detection.candidates import FEATURES
    from napari_rsna_inpaint.detection.norms import DISTANCES_MM, Normal, Norms
    from napari_rsna_inpaint.detection.rescorer import Rescorer

    def normal(median: float, upper: float, lower: float) -> Normal:
        n = len(DISTANCES_MM)
        return Normal(median=(median,) * n, upper=(upper,) * n, lower=(lower,) * n)

    n = len(FEATURES)
    hu = normal(33.0, 4.0, 8.0)
    calibration = Calibration(
        protocol="fast",
        norms=Norms(noise_hu=3.0, residual=normal(0.0, 5.0, 5.0), hu=hu, relative_hu=hu),
        rescorer=Rescorer(
            mean=(0.0,) * n,
            spread=(1.0,) * n,
            linear=tuple(float(name in {"z_residual", "z_hu"}) for name in FEATURES),
            quadratic=(0.0,) * n,
            intercept=-3.0,
        ),
        finding_heat=0.5,
        false_findings=0.5,
        healthy_scan_scores=tuple(i / 20 for i in range(1, 11)),
        n_scans=10,
        n_slices=100,
    )
    return calibration.model_copy(update=changes)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Model folder with a small random network and a plain calibration."""
    import torch

    from napari_rsna_inpaint.detection.calibration import save_calibration
    from napari_rsna_inpaint.diffusion.model import ModelConfig, save_model
    from napari_rsna_inpaint.diffusion.unet import PatchUNet, UNetConfig

    torch.manual_seed(0)
    config = ModelConfig(network=UNetConfig(widths=(8, 16), groups=4, time_channels=16))
    network = PatchUNet(config.network)
    for parameter in network.parameters():
        # the last layers start at zero, which would hide what goes in
        torch.nn.init.normal_(parameter, std=0.15)
    folder = tmp_path_factory.mktemp("models") / "tiny"
    save_model(folder, network, config)
    save_calibration(folder, plain_calibration())
    return folder
