"""A model folder: network, its scale of HU and its pixel size; the denoiser made of it."""

from __future__ import annotations

import copy
import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict, Field
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from napari_rsna_inpaint.diffusion import BACKENDS
from napari_rsna_inpaint.diffusion.schedule import NoiseSchedule, cosine_schedule
from napari_rsna_inpaint.diffusion.unet import PatchUNet, UNetConfig
from napari_rsna_inpaint.errors import InputRefused
from napari_rsna_inpaint.io.write import write_atomic, write_json

WEIGHTS = "weights.safetensors"
DEFAULT_MODEL = "rsna-healthy-v2"
#: On a CPU PyTorch always computes this many images at once, filled up where there are
#: fewer: its convolutions of another batch size differ in the last bits.
CPU_IMAGES = 4


class ModelConfig(BaseModel):
    """What a network must be fed.

    Network input is ``(HU - hu_center) / hu_scale`` after clipping to ``hu_window``, on
    square pixels of ``pixel_mm``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    network: UNetConfig = Field(default_factory=UNetConfig)
    pixel_mm: float = 1.0
    hu_window: tuple[float, float] = (-20.0, 120.0)
    hu_center: float = 35.0
    hu_scale: float = 20.0
    n_timesteps: int = 1000

    def schedule(self) -> NoiseSchedule:
        """The noise schedule that the network was trained with."""
        return cosine_schedule(self.n_timesteps)

    def encode(self, hu: Tensor) -> Tensor:
        """HU to network units."""
        return (hu.clamp(*self.hu_window) - self.hu_center) / self.hu_scale

    def decode(self, x: Tensor) -> Tensor:
        """Network units to HU, inside the window."""
        return (x * self.hu_scale + self.hu_center).clamp(*self.hu_window)


@dataclass(frozen=True)
class Condition:
    """What the network sees besides the noise; all ``(N, 1, H, W)`` in network units.

    ``image`` is the slice, ``hole`` 1 where it is to be completed, ``brain`` 1 inside the
    skull, ``below`` and ``above`` the neighbour slices (zeros where dropped).
    """

    image: Tensor
    hole: Tensor
    brain: Tensor
    below: Tensor
    above: Tensor

    def to(self, device: torch.device) -> Condition:
        """The same on another device."""
        return Condition(**{name: value.to(device) for name, value in vars(self).items()})

    def network_input(self, x_t: Tensor) -> Tensor:
        """``(N, 6, H, W)``: noise in the hole only, on clean context; then the condition."""
        known = self.image * (1 - self.hole)
        return torch.cat(
            [x_t * self.hole + known, known, self.hole, self.brain, self.below, self.above], 1
        )


class BatchedDenoiser(ABC):
    """``(x_t, t, condition) -> v``, all ``(N, 1, H, W)``, whatever runs the network.

    Attributes
    ----------
    backend, runtime
        Name of the backend; library, version and, where it has several, provider.
    device
        Where the tensors lie and the network runs.
    images_at_once
        Size of every network call, filled up where fewer images are left, so that an image
        gets the same bits whatever is computed with it; None for any number.
    """

    backend: str
    runtime: str
    config: ModelConfig
    device: torch.device
    images_at_once: int | None

    @torch.inference_mode()
    def __call__(self, x_t: Tensor, t: int, condition: Condition) -> Tensor:
        """Predict v; float32 whatever the network computes in.

        Raises
        ------
        ValueError
            If height or width is not a multiple of the network's divisor.
        """
        inputs = condition.network_input(x_t)
        divisor = self.config.network.divisor
        if any(side % divisor for side in inputs.shape[2:]):
            raise ValueError(
                f"height and width must be multiples of {divisor}, got {tuple(inputs.shape[2:])}"
            )
        if self.images_at_once is None:
            return self._evaluate(inputs, t)
        n = len(inputs)
        missing = -n % self.images_at_once
        inputs = torch.cat([inputs, inputs.new_zeros(missing, *inputs.shape[1:])])
        parts = inputs.split(self.images_at_once)
        return torch.cat([self._evaluate(part, t) for part in parts])[:n]

    @abstractmethod
    def on_cpu(self) -> BatchedDenoiser:
        """The same network on the CPU, with the weights as the device has them."""

    @abstractmethod
    def _evaluate(self, inputs: Tensor, t: int) -> Tensor:
        """Evaluate network inputs ``(N, 6, H, W)`` float32 to v ``(N, 1, H, W)`` float32."""


class TorchDenoiser(BatchedDenoiser):
    """The network run by PyTorch.

    Backend ``torch`` computes in bfloat16 on a GPU and in float32 on a CPU, where every machine
    shall find the same; ``torch-bf16`` in bfloat16 everywhere.

    Raises
    ------
    InputRefused
        If the CPU is asked for bfloat16 and has no instructions for it.
    """

    runtime = f"torch {torch.__version__}"

    def __init__(
        self,
        network: PatchUNet,
        config: ModelConfig,
        device: torch.device,
        backend: str = "torch",
    ) -> None:
        on_cpu = device.type == "cpu"
        if backend == "torch-bf16" and on_cpu and not cpu_has_bfloat16():
            raise InputRefused(
                "This CPU has no instructions for bfloat16, which would make it slower; "
                "use --backend torch."
            )
        self.backend = backend
        self.config = config
        self.device = device
        self.images_at_once = CPU_IMAGES if on_cpu else None
        half = backend == "torch-bf16" or not on_cpu
        self.dtype = torch.bfloat16 if half else torch.float32
        self._network = network.eval().to(device, self.dtype)
        self._network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def on_cpu(self) -> TorchDenoiser:
        """The same network on the CPU in float32, with the weights as the GPU has them."""
        return TorchDenoiser(copy.deepcopy(self._network), self.config, torch.device("cpu"))

    def _evaluate(self, inputs: Tensor, t: int) -> Tensor:
        times = torch.full((len(inputs),), t, device=self.device)
        inputs = inputs.to(self.device, self.dtype, memory_format=torch.channels_last)
        return self._network(inputs, times).float()


def cpu_has_bfloat16() -> bool:
    """Whether the CPU multiplies bfloat16 numbers by itself (AVX-512 BF16, AMX)."""
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def models_folder() -> Path:
    """Folder of the models that come with the package."""
    return Path(str(files("napari_rsna_inpaint"))) / "models"


def installed_models() -> list[str]:
    """Names of the models that come with the package."""
    return sorted(path.parent.name for path in models_folder().glob(f"*/{WEIGHTS}"))


def find_model(model: str | Path | None = None) -> Path:
    """Folder of a model by name or path; None gives the default model.

    Raises
    ------
    InputRefused
        If there is no such model.
    """
    installed = installed_models()
    if model is None:
        if not installed:
            raise InputRefused("No model is installed; name one by its folder with --model.")
        return models_folder() / (DEFAULT_MODEL if DEFAULT_MODEL in installed else installed[0])
    if str(model) in installed:
        return models_folder() / str(model)
    folder = Path(model)
    if (folder / WEIGHTS).is_file():
        return folder
    raise InputRefused(
        f"There is no model {str(model)!r}; installed: {', '.join(installed) or 'none'}. "
        f"A model is a name from this list or a folder with {WEIGHTS} and config.json."
    )


def model_sha256(folder: Path) -> str:
    """SHA-256 of the weights file."""
    return hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()


def save_model(folder: Path, network: PatchUNet, config: ModelConfig) -> None:
    """Write ``weights.safetensors`` (float32) and ``config.json`` into a folder.

    The weights file holds the configuration as well (metadata ``config``), so that it
    describes itself.

    Raises
    ------
    OutputFailed
        If a file cannot be written; the one there before stays whole.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {k: v.detach().cpu().float().contiguous() for k, v in network.state_dict().items()}
    write_json(folder / "config.json", config.model_dump(mode="json"))
    write_atomic(folder / WEIGHTS, save(tensors, {"config": config.model_dump_json()}))


def load_config(folder: Path) -> ModelConfig:
    """Read the configuration of a model: ``config.json``, else what the weights file says.

    Raises
    ------
    InputRefused
        If both are missing or not of this version.
    """
    try:
        if (folder / "config.json").exists():
            return ModelConfig.model_validate_json((folder / "config.json").read_text())
        with safe_open(folder / WEIGHTS, "pt") as file:
            return ModelConfig.model_validate_json((file.metadata() or {}).get("config", ""))
    except (OSError, ValueError, SafetensorError) as error:
        raise InputRefused(
            f"The model in {folder.name!r} has no config.json that this version can read; "
            "train or install it anew."
        ) from error


def load_network(folder: Path, config: ModelConfig) -> PatchUNet:
    """Network of a model folder with its weights, float32 on the CPU.

    Raises
    ------
    InputRefused
        If the weights are damaged or belong to another configuration.
    """
    try:
        network = PatchUNet(config.network)
        network.load_state_dict(load_file(folder / WEIGHTS))
    except (SafetensorError, OSError, RuntimeError, ValueError) as error:
        raise InputRefused(
            f"The weights of the model {folder.name!r} are damaged or do not fit its "
            "config.json; install it anew."
        ) from error
    return network.eval()


def load_denoiser(
    model: str | Path | None = None,
    *,
    device: str = "auto",
    backend: str = "torch",
) -> BatchedDenoiser:
    """Load a model for sampling; what was loaded last is kept and shared.

    Parameters
    ----------
    device
        ``"auto"`` takes a CUDA GPU where there is one, else the CPU.
    backend
        One of ``diffusion.BACKENDS``.

    Raises
    ------
    InputRefused
        If the model, the device or the backend is not there.
    """
    if backend not in BACKENDS:
        raise InputRefused(f"Unknown backend {backend!r}; choose {', '.join(BACKENDS)}.")
    folder = find_model(model).absolute()
    files = tuple((file.name, file.stat().st_mtime_ns) for file in sorted(folder.iterdir()))
    return _load(folder, files, device, backend, torch.get_num_threads())


@lru_cache(maxsize=2)
def _load(
    folder: Path, files: tuple[tuple[str, int], ...], device: str, backend: str, threads: int
) -> BatchedDenoiser:
    """Load a model anew where its files have changed; ONNX Runtime keeps its threads."""
    config = load_config(folder)
    if backend.startswith("onnx"):
        from napari_rsna_inpaint.diffusion.onnx_denoiser import OnnxDenoiser

        return OnnxDenoiser(folder, config, backend=backend, device=device)
    return TorchDenoiser(load_network(folder, config), config, pick_device(device), backend)


def pick_device(device: str = "auto") -> torch.device:
    """Turn ``auto``, ``cpu`` or ``cuda`` into a device.

    Raises
    ------
    InputRefused
        If CUDA is asked for and absent.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise InputRefused("No CUDA GPU can be used here; choose --device cpu or auto.")
    if device not in {"cpu", "cuda"}:
        raise InputRefused(f"Unknown device {device!r}; choose auto, cpu or cuda.")
    return torch.device(device)
