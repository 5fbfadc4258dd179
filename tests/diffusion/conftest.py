import shutil
from pathlib import Path

import pytest

from napari_rsna_inpaint.cli import main


def with_onnx(source: Path, folder: Path) -> Path:
    """Copy of a model folder, with its ONNX file made where it brings none."""
    pytest.importorskip("onnxruntime")
    shutil.copytree(source, folder)
    if not (folder / "denoiser.onnx").exists():
        pytest.importorskip("onnxscript")
        assert main(["export-onnx", "--model", str(folder)]) == 0
    return folder


@pytest.fixture(scope="session")
def tiny_onnx(tiny_model, tmp_path_factory) -> Path:
    """The small random model with its ONNX file."""
    return with_onnx(tiny_model, tmp_path_factory.mktemp("tiny_onnx") / "tiny")


@pytest.fixture(scope="session")
def shipped_onnx(tmp_path_factory) -> Path:
    """The default model with its ONNX file: the shipped one, where there is one."""
    from napari_rsna_inpaint.diffusion.model_folder import find_model

    return with_onnx(find_model(), tmp_path_factory.mktemp("shipped_onnx") / "shipped")
