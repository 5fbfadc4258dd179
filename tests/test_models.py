import json
import shutil
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from napari_rsna_inpaint.cli import main
from napari_rsna_inpaint.diffusion.model_folder import WEIGHTS, find_model, installed_models
from napari_rsna_inpaint.train.methods import METHODS


@pytest.fixture
def model(tiny_model, tmp_path) -> Path:
    """A model folder with checksums."""
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    assert main(["models", "verify", str(folder), "--write"]) == 0
    return folder


def verify(folder: Path, capsys) -> tuple[int, dict[str, str]]:
    capsys.readouterr()
    code = main(["models", "verify", str(folder), "--json"])
    (report,) = json.loads(capsys.readouterr().out)["models"]
    assert report["ok"] == (code == 0)
    return code, report["files"]


def test_list_says_what_each_model_is(capsys):
    assert main(["models", "list", "--json"]) == 0
    models = json.loads(capsys.readouterr().out)["models"]
    assert [model["name"] for model in models] == installed_models()
    for model in models:
        weights = load_file(find_model(model["name"], None) / WEIGHTS)
        assert model["parameters"] == sum(tensor.size for tensor in weights.values())
        assert model["method"] in METHODS
        assert model["bytes"] > 4 * model["parameters"]
        assert "torch" in model["backends"]
        assert model["calibrated"]
        assert "non-commercial" in model["licence"]
    assert main(["models", "list"]) == 0
    assert models[0]["name"] in capsys.readouterr().out


def test_the_shipped_models_are_whole(capsys):
    """After a change of their files: rsna-inpaint models verify --write."""
    assert main(["models", "verify"]) == 0, capsys.readouterr().err


def test_untouched_files_are_ok(model, capsys):
    code, files = verify(model, capsys)
    assert code == 0
    assert files == {
        "calibration.json": "ok",
        "config.json": "ok",
        "weights.safetensors": "ok",
    }


def test_one_changed_bit_is_named(model, capsys):
    weights = bytearray((model / "weights.safetensors").read_bytes())
    weights[-1] ^= 1
    (model / "weights.safetensors").write_bytes(weights)
    assert verify(model, capsys) == (
        1,
        {"calibration.json": "ok", "config.json": "ok", "weights.safetensors": "changed"},
    )
    assert main(["models", "verify", str(model)]) == 1
    assert "weights.safetensors is changed" in capsys.readouterr().err


def test_a_missing_and_an_added_file_are_named(model, capsys):
    (model / "calibration.json").unlink()
    (model / "denoiser.onnx").write_text("my own")
    code, files = verify(model, capsys)
    assert code == 1
    assert files["calibration.json"] == "missing"
    assert files["denoiser.onnx"] == "not listed"
    (model / "calibration.json").write_text("mine")
    assert main(["models", "verify", str(model), "--write"]) == 0
    assert set(verify(model, capsys)[1].values()) == {"ok"}


@pytest.mark.parametrize("content", [None, "no checksums at all\n"])
def test_without_checksums_nothing_is_verified(model, content, capsys):
    (model / "SHA256SUMS").unlink()
    if content is not None:
        (model / "SHA256SUMS").write_text(content)
    assert main(["models", "verify", str(model)]) == 3
    assert "--write" in capsys.readouterr().err
