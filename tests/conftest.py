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


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Model folder with a small random network and a plain calibration."""
    import torch
    from calibrations import plain_calibration

    from napari_rsna_inpaint.detection.calibration import save_calibration
    from napari_rsna_inpaint.diffusion.model import ModelConfig
    from napari_rsna_inpaint.diffusion.model_folder import save_model
    from napari_rsna_inpaint.diffusion.unet import PatchUNet, UNetConfig

    torch.manual_seed(0)
    config = ModelConfig(network=UNetConfig(widths=(8, 16), groups=4, time_channels=16))
    network = PatchUNet(config.network)
    for parameter in network.parameters():
        # the last layers start at zero, which would hide what goes in
        torch.nn.init.normal_(parameter, std=0.15)
    folder = tmp_path_factory.mktemp("models") / "tiny"
    save_model(folder, network, config)
    save_calibration(folder, "grid", plain_calibration())
    return folder
