"""The network run by PyTorch: bfloat16 on a CPU, and loading it once."""

import shutil

import pytest
import torch

from napari_rsna_inpaint.diffusion import model
from napari_rsna_inpaint.diffusion.model import load_denoiser
from napari_rsna_inpaint.errors import InputRefused

NAMES = ("torch", "torch-bf16")


@pytest.fixture
def bfloat16():
    if not model.cpu_has_bfloat16():
        pytest.skip("this CPU has no bfloat16")


def question(n, height, width):
    noise, image, below, above = torch.randn((4, n, 1, height, width))
    hole, brain = (torch.rand((2, n, 1, height, width)) > 0.5).float()
    return noise, model.Condition(image, hole, brain, below, above)


def test_bfloat16_predicts_nearly_what_float32_does(tiny_model, bfloat16):
    exact, half = (load_denoiser(tiny_model, backend=name, device="cpu") for name in NAMES)
    noise, condition = question(3, 32, 48)
    expected, v = exact(noise, 500, condition), half(noise, 500, condition)
    assert v.dtype == torch.float32
    error = float((v - expected).norm() / expected.norm())
    assert 0 < error < 0.03


def test_a_lone_image_gets_the_same_bits_as_in_a_batch(tiny_model, bfloat16):
    denoiser = load_denoiser(tiny_model, backend="torch-bf16", device="cpu")
    noise, condition = question(3, 32, 48)
    lone = model.Condition(**{name: value[:1] for name, value in vars(condition).items()})
    torch.testing.assert_close(
        denoiser(noise[:1], 500, lone), denoiser(noise, 500, condition)[:1], rtol=0, atol=0
    )


def test_a_cpu_without_bfloat16_is_refused(tiny_model, monkeypatch):
    monkeypatch.setattr(model, "cpu_has_bfloat16", lambda: False)
    model._load.cache_clear()
    with pytest.raises(InputRefused, match="--backend torch"):
        load_denoiser(tiny_model, backend="torch-bf16", device="cpu")


def test_what_was_loaded_is_kept_until_its_files_change(tiny_model, tmp_path):
    folder = shutil.copytree(tiny_model, tmp_path / "copy")
    first = load_denoiser(folder)
    assert load_denoiser(folder) is first
    assert load_denoiser(tiny_model) is not first
    (folder / "weights.safetensors").touch()
    assert load_denoiser(folder) is not first
