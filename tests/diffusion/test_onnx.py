import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_rsna_inpaint import detect, read, reinpaint
from napari_rsna_inpaint.cli import main
from napari_rsna_inpaint.detection.network_inputs import network_inputs
from napari_rsna_inpaint.diffusion import model, onnx_export
from napari_rsna_inpaint.diffusion.model import Condition, ModelConfig, load_denoiser, load_network
from napari_rsna_inpaint.diffusion.model_folder import load_config, model_sha256, save_model
from napari_rsna_inpaint.diffusion.onnx_denoiser import FILES
from napari_rsna_inpaint.diffusion.onnx_export import (
    TOLERANCE,
    export_onnx,
    largest_difference,
)
from napari_rsna_inpaint.diffusion.onnx_int8 import quantize, relative_error
from napari_rsna_inpaint.errors import InputRefused, OutputFailed
from napari_rsna_inpaint.evaluate.phantom import head_phantom

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

ONNX, INT8 = FILES["onnx"], FILES["onnx-int8"]


@pytest.fixture(scope="module")
def phantom():
    return head_phantom(
        seed=3, bleed="intraparenchymal", shape=(6, 160, 160), spacing=(5.0, 1.25, 1.25)
    )


def question(n: int, height: int, width: int, seed: int = 0) -> tuple[torch.Tensor, Condition]:
    """Noise ``(n, 1, height, width)`` and a condition like those in use."""
    generator = torch.Generator().manual_seed(seed)
    noise, image, below, above = torch.randn((4, n, 1, height, width), generator=generator)
    hole, brain = (torch.rand((2, n, 1, height, width), generator=generator) > 0.5).float()
    return noise, Condition(image, hole, brain, below, above)


def part(condition: Condition, index: list[int]) -> Condition:
    return Condition(**{name: value[index] for name, value in vars(condition).items()})


@pytest.mark.parametrize("folder", ["tiny_onnx", "shipped_onnx"])
@pytest.mark.parametrize(
    ("n", "height", "width", "t"),
    [(1, 192, 160, 999), (5, 64, 96, 500), (3, 16, 32, 0), (2, 144, 16, 999)],
)
def test_onnx_predicts_what_torch_predicts(request, folder, n, height, width, t):
    folder = request.getfixturevalue(folder)
    noise, condition = question(n, height, width)
    expected, found = (
        load_denoiser(folder, device="cpu", backend=backend)(noise, t, condition)
        for backend in ("torch", "onnx")
    )
    assert expected.abs().max() > 0.1
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=0)


@settings(max_examples=25)
@given(st.lists(st.integers(0, 8), min_size=1, max_size=9), st.integers(0, 999))
def test_an_image_gets_the_same_bits_in_every_company(tiny_onnx, order, t):
    denoiser = load_denoiser(tiny_onnx, device="cpu", backend="onnx")
    noise, condition = question(9, 32, 16)
    together = denoiser(noise, t, condition)
    assert torch.equal(denoiser(noise[order], t, part(condition, order)), together[order])


@pytest.mark.parametrize("backend", ["torch", "onnx"])
def test_sizes_that_the_network_cannot_halve_are_refused(tiny_onnx, backend):
    denoiser = load_denoiser(tiny_onnx, device="cpu", backend=backend)
    with pytest.raises(ValueError, match="multiples of 4"):
        denoiser(torch.zeros(1, 1, 32, 18), 999, question(1, 32, 18)[1])


@pytest.mark.parametrize(
    ("folder", "protocol"), [("tiny_onnx", "fast"), ("shipped_onnx", "interactive")]
)
def test_a_scan_is_completed_alike(request, phantom, folder, protocol):
    folder = request.getfixturevalue(folder)
    options = {"model": folder, "device": "cpu", "protocol": protocol, "slices": [2]}
    expected = detect(phantom.volume, **options)
    found = detect(phantom.volume, **options, backend="onnx")
    assert np.abs(expected.residual).max() > 5
    np.testing.assert_allclose(found.inpainted, expected.inpainted, atol=0.5)
    assert found.run["backend"] == "onnx"
    assert found.run["runtime"] == f"onnxruntime {onnxruntime.__version__} CPUExecutionProvider"
    assert expected.run["runtime"] == f"torch {torch.__version__}"


def test_the_same_seed_draws_the_same_noise_for_every_backend(phantom, shipped_onnx):
    region = np.zeros(phantom.volume.hu.shape, np.uint8)
    region[2, 70:95, 60:90] = 1

    def draw(backend, seed):
        return reinpaint(
            phantom.volume,
            region,
            samples=1,
            model=shipped_onnx,
            device="cpu",
            backend=backend,
            seed=seed,
            mask=phantom.brain_mask,
        ).completions

    found = draw("onnx", 0)
    np.testing.assert_allclose(found, draw("torch", 0), atol=0.5)
    assert np.abs(found - draw("onnx", 1)).max() > 2


@pytest.mark.data
def test_a_real_scan_is_completed_alike(data_root, shipped_onnx):
    volume = read(data_root / "rsna-head-ct" / "ich" / "s46")
    options = {"model": shipped_onnx, "device": "cpu", "protocol": "interactive"}
    slices = range(14, 17)
    expected = detect(volume, **options, slices=slices)
    found = detect(volume, **options, slices=slices, backend="onnx")
    assert np.abs(expected.residual).max() > 20
    np.testing.assert_allclose(found.inpainted, expected.inpainted, atol=0.5)


class TestFile:
    def test_is_one_file_that_says_what_it_is(self, tiny_onnx):
        model = onnx.load(tiny_onnx / ONNX, load_external_data=False)
        assert not any(tensor.external_data for tensor in model.graph.initializer)
        assert [opset.version for opset in model.opset_import if not opset.domain] == [20]
        free = [
            [bool(size.dim_param) for size in value.type.tensor_type.shape.dim]
            for value in (*model.graph.input, *model.graph.output)
        ]
        assert free == [[True, False, True, True], [True], [True, False, True, True]]
        stated = {entry.key: entry.value for entry in model.metadata_props}
        assert stated["opset"] == "20"
        assert stated["weights_sha256"] == model_sha256(tiny_onnx)
        assert stated["model_config"] == load_config(tiny_onnx, ModelConfig).model_dump_json()
        assert "not a medical device" in stated["statement"]

    def test_tells_nothing_about_the_machine_it_was_made_on(self, tiny_onnx):
        content = (tiny_onnx / ONNX).read_bytes()
        for path in (onnx_export.__file__, torch.__file__):
            assert str(Path(path).parent).encode() not in content

    def test_another_network_is_noticed(self, tiny_onnx):
        config = load_config(tiny_onnx, ModelConfig)
        network = load_network(tiny_onnx, config)
        content = (tiny_onnx / ONNX).read_bytes()
        assert largest_difference(content, network, config) <= TOLERANCE
        with torch.no_grad():
            network.head[2].bias[0] += 2 * TOLERANCE
        assert largest_difference(content, network, config) > TOLERANCE

    @pytest.mark.parametrize("difference", [2e-3, float("nan")])
    def test_a_wrong_one_is_not_left(self, tiny_onnx, tmp_path, monkeypatch, difference, capsys):
        model = onnx.load(tiny_onnx / ONNX)
        monkeypatch.setattr(onnx_export, "_convert", lambda *_: model)
        monkeypatch.setattr(onnx_export, "largest_difference", lambda *_: difference)
        out = tmp_path / "wrong.onnx"
        assert main(["export-onnx", "--model", str(tiny_onnx), "-o", str(out)]) == 1
        assert "differs from PyTorch" in capsys.readouterr().err
        assert not list(tmp_path.iterdir())


class TestRefusals:
    def test_no_file(self, tiny_model):
        with pytest.raises(InputRefused, match="export-onnx --model"):
            load_denoiser(tiny_model, backend="onnx")
        with pytest.raises(InputRefused, match="export-onnx --int8 --model"):
            load_denoiser(tiny_model, backend="onnx-int8")

    def test_other_weights(self, tiny_onnx, tmp_path):
        folder = shutil.copytree(tiny_onnx, tmp_path / "model")
        config = load_config(folder, ModelConfig)
        network = load_network(folder, config)
        with torch.no_grad():
            network.stem.bias[0] += 1e-3
        save_model(folder, network, config)
        with pytest.raises(InputRefused, match=r"other weights.*export-onnx"):
            load_denoiser(folder, backend="onnx")

    def test_other_settings(self, tiny_onnx, tmp_path):
        folder = shutil.copytree(tiny_onnx, tmp_path / "model")
        config = load_config(folder, ModelConfig).model_copy(update={"hu_scale": 30.0})
        (folder / "config.json").write_text(config.model_dump_json())
        with pytest.raises(InputRefused, match="other weights or settings"):
            load_denoiser(folder, backend="onnx")

    @pytest.mark.parametrize("size", [0, 1000])
    def test_damaged_file(self, tiny_onnx, tmp_path, size):
        folder = shutil.copytree(tiny_onnx, tmp_path / "model")
        (folder / ONNX).write_bytes((folder / ONNX).read_bytes()[:size])
        with pytest.raises(InputRefused, match="cannot be loaded"):
            load_denoiser(folder, backend="onnx")

    def test_no_onnxruntime(self, tiny_onnx, monkeypatch):
        monkeypatch.setitem(sys.modules, "onnxruntime", None)
        with pytest.raises(InputRefused, match=r"napari-rsna-inpaint\[onnx\]"):
            load_denoiser(tiny_onnx, backend="onnx")

    @pytest.mark.parametrize("missing", ["onnx", "onnxscript"])
    def test_no_exporter(self, tiny_onnx, monkeypatch, missing, capsys):
        monkeypatch.setitem(sys.modules, missing, None)
        assert main(["export-onnx", "--model", str(tiny_onnx)]) == 3
        assert "napari-rsna-inpaint[export]" in capsys.readouterr().err

    def test_calibration_data_without_int8(self, tiny_onnx, tmp_path, capsys):
        command = ["export-onnx", "--model", str(tiny_onnx), "--calibration-data", str(tmp_path)]
        assert main(command) == 2
        assert "--int8" in capsys.readouterr().err


@pytest.mark.skipif(torch.cuda.is_available(), reason="is about machines without CUDA")
class TestCudaThatIsNotThere:
    def test_without_a_gpu(self, tiny_onnx):
        with pytest.raises(InputRefused, match="No CUDA GPU"):
            load_denoiser(tiny_onnx, backend="onnx", device="cuda")

    @pytest.fixture(params=["built without CUDA", "cannot load its CUDA libraries"])
    def reason(self, request, monkeypatch) -> str:
        """A GPU that ONNX Runtime is not built for, or silently falls back from."""
        providers = ["CPUExecutionProvider"]
        if request.param == "cannot load its CUDA libraries":
            providers.insert(0, "CUDAExecutionProvider")
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: providers)
        model._load.cache_clear()  # what was loaded before knows another machine
        return request.param

    def test_asked_for_by_name_it_is_refused(self, tiny_onnx, reason):
        with pytest.raises(InputRefused, match=f"{reason}.*extra 'gpu'"):
            load_denoiser(tiny_onnx, backend="onnx", device="cuda")

    def test_else_the_cpu_is_taken_and_said(self, tiny_onnx, reason, caplog):
        denoiser = load_denoiser(tiny_onnx, backend="onnx")
        assert denoiser.device.type == "cpu"
        assert "CPUExecutionProvider" in denoiser.runtime
        assert reason in caplog.text
        noise, condition = question(2, 16, 16)
        assert denoiser(noise, 999, condition).shape == noise.shape


class TestInt8:
    @pytest.fixture(scope="class")
    def calls(self, phantom, tiny_onnx):
        return network_inputs(phantom.volume, load_denoiser(tiny_onnx, device="cpu"), n_slices=2)

    @pytest.fixture(scope="class")
    def folder(self, tiny_onnx, calls, tmp_path_factory):
        folder = shutil.copytree(tiny_onnx, tmp_path_factory.mktemp("int8") / "model")
        content, loss = quantize(export_onnx(folder, quantizable=True), calls)
        assert 0 < loss < 0.05
        (folder / INT8).write_bytes(content)
        return folder

    def test_it_is_smaller_and_nearly_the_same(self, folder, calls):
        whole, small = ((folder / name).read_bytes() for name in (ONNX, INT8))
        assert b"QuantizeLinear" in small
        assert 1e-5 < relative_error(small, whole, calls) < 0.05
        assert relative_error(whole, whole, calls) == 0

    def test_it_is_a_backend(self, phantom, folder):
        options = {"model": folder, "device": "cpu", "slices": [2]}
        found = detect(phantom.volume, **options, backend="onnx-int8")
        expected = detect(phantom.volume, **options)
        assert found.run["backend"] == "onnx-int8"
        assert 0 < np.abs(found.inpainted - expected.inpainted).max() < 5

    def test_it_is_for_cpus(self, folder):
        with pytest.raises(InputRefused, match="CPUs only"):
            load_denoiser(folder, backend="onnx-int8", device="cuda")

    def test_a_network_that_loses_too_much_is_not_made(self, tiny_onnx, calls):
        quiet = [(0.01 * inputs if k % 4 else inputs, t) for k, (inputs, t) in enumerate(calls)]
        with pytest.raises(OutputFailed, match="--calibration-data"):
            quantize((tiny_onnx / ONNX).read_bytes(), quiet)
