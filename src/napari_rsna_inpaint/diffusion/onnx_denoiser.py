"""The network as an ONNX file, run by ONNX Runtime."""

from __future__ import annotations

import logging
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from napari_rsna_inpaint.diffusion.model import BatchedDenoiser, ModelConfig, pick_device
from napari_rsna_inpaint.diffusion.model_folder import model_sha256
from napari_rsna_inpaint.errors import InputRefused

log = logging.getLogger(__name__)

#: File in the model folder and option of ``export-onnx`` that makes it, of every backend.
FILES = {"onnx": "denoiser.onnx", "onnx-int8": "denoiser-int8.onnx"}
_OPTIONS = {"onnx": "", "onnx-int8": "--int8 "}
#: Keys of the metadata that say what an ONNX file was made of.
CONFIG_KEY, WEIGHTS_KEY = "model_config", "weights_sha256"
CUDA = "CUDAExecutionProvider"
#: Threads that wait for each other spin so long, then sleep: as fast as without end on an idle
#: machine, twice as fast beside other busy threads; sleeping at once costs a fifth.
SPIN_US = 50
#: As exact as on a CPU, and no search of minutes for the fastest convolution of every new size.
CUDA_OPTIONS = {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"}


class OnnxDenoiser(BatchedDenoiser):
    """The network of a model folder's ONNX file, run by ONNX Runtime.

    On a CPU it computes one image at a time: larger batches are not faster there. A CUDA GPU
    needs onnxruntime-gpu and a PyTorch that sees the GPU too; ``onnx-int8`` runs on the CPU only.

    Raises
    ------
    InputRefused
        If ONNX Runtime or the file is absent, the file is damaged or made of other weights,
        or the device cannot be used.
    """

    def __init__(
        self, folder: Path, config: ModelConfig, *, backend: str = "onnx", device: str = "auto"
    ) -> None:
        onnxruntime = import_onnxruntime()
        path = folder / FILES[backend]
        export = f"'rsna-inpaint export-onnx {_OPTIONS[backend]}--model {folder}'"
        if not path.is_file():
            raise InputRefused(
                f"The model {folder.name!r} has no {path.name}; make it with {export}."
            )
        self.backend = backend
        self._folder = folder
        self.config = config
        self.device = _pick_device(onnxruntime, backend, device)
        try:
            self._session = open_session(path, cuda=self.device.type == "cuda")
        except Exception as error:  # its exceptions share no base class of their own
            raise InputRefused(
                f"{path.name} of the model {folder.name!r} cannot be loaded; "
                f"make it anew with {export}."
            ) from error
        if self.device.type == "cuda" and CUDA not in self._session.get_providers():
            self.device = _without_cuda("cannot load its CUDA libraries", asked=device == "cuda")
        if not _made_of(self._session, folder, config):
            raise InputRefused(
                f"{path.name} of the model {folder.name!r} was made of other weights or settings; "
                f"make it anew with {export}."
            )
        self.images_at_once = 1 if self.device.type == "cpu" else None
        provider = self._session.get_providers()[0]
        self.runtime = f"onnxruntime {onnxruntime.__version__} {provider}"

    def on_cpu(self) -> OnnxDenoiser:
        """The same file, run on the CPU."""
        return OnnxDenoiser(self._folder, self.config, backend=self.backend, device="cpu")

    def _evaluate(self, inputs: Tensor, t: int) -> Tensor:
        feed = {"inputs": inputs.cpu().numpy(), "t": torch.full((len(inputs),), t).numpy()}
        return torch.from_numpy(self._session.run(["v"], feed)[0]).to(self.device)


def import_onnxruntime() -> ModuleType:
    """ONNX Runtime.

    Raises
    ------
    InputRefused
        If it is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise InputRefused(
            "ONNX Runtime is not installed; install the extra 'onnx' (or 'gpu' for CUDA): "
            "pip install 'napari-rsna-inpaint[onnx]'."
        ) from error
    return onnxruntime


def open_session(model: Path | bytes, *, cuda: bool = False) -> Any:
    """ONNX Runtime session that leaves the machine usable for other work.

    It has as many threads as PyTorch would take, and they spin for `SPIN_US` only. Where CUDA is
    asked for but cannot be loaded, ONNX Runtime silently falls back to the CPU: see
    ``get_providers()`` of the session.
    """
    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.add_session_config_entry("session.intra_op.spin_duration_us", str(SPIN_US))
    options.log_severity_level = 4  # what fails raises; what falls back is asked for
    providers: list[Any] = [(CUDA, CUDA_OPTIONS)] if cuda else []
    source = model if isinstance(model, bytes) else str(model)
    return onnxruntime.InferenceSession(
        source, options, providers=[*providers, "CPUExecutionProvider"]
    )


def _made_of(session: Any, folder: Path, config: ModelConfig) -> bool:
    stored = session.get_modelmeta().custom_metadata_map
    try:
        same = ModelConfig.model_validate_json(stored[CONFIG_KEY]) == config
        return same and stored[WEIGHTS_KEY] == model_sha256(folder)
    except (KeyError, ValueError):
        return False


def _pick_device(onnxruntime: ModuleType, backend: str, device: str) -> torch.device:
    if backend == "onnx-int8":
        if device == "cuda":
            raise InputRefused("The backend 'onnx-int8' gains on CPUs only; use --backend torch.")
        return pick_device("cpu")
    picked = pick_device(device)
    if picked.type == "cuda" and CUDA not in onnxruntime.get_available_providers():
        return _without_cuda("was built without CUDA", asked=device == "cuda")
    return picked


def _without_cuda(reason: str, *, asked: bool) -> torch.device:
    """The CPU, after a warning; refused where CUDA was asked for by name."""
    message = f"The ONNX Runtime installed here {reason}"
    remedy = "uninstall onnxruntime and install the extra 'gpu', or use --backend torch"
    if asked:
        raise InputRefused(f"{message}; {remedy} or --device cpu.")
    log.warning("%s, the network runs on the CPU; %s.", message, remedy)
    return torch.device("cpu")
