"""A model folder: network, its scale of HU and its pixel size; the denoiser made of it."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from napari_rsna_inpaint.diffusion import BACKENDS
from napari_rsna_inpaint.diffusion.model_folder import find_model, load_config, load_weights
from napari_rsna_inpaint.diffusion.schedule import NoiseSchedule, cosine_schedule
from napari_rsna_inpaint.diffusion.unet import PatchUNet, UNetConfig
from napari_rsna_inpaint.errors import InputRefused

#: On a CPU PyTorch always computes this many images at once, filled up where there are
#: fewer: its convolutions of another batch size differ in the last bits.
CPU_IMAGES = 4


class ImageModelConfig(BaseModel):
    """What every network of CT images must be fed, whatever it was trained to do.

    Network input is ``(HU - hu_center) / hu_scale`` after clipping to ``hu_window``, on
    square pixels of ``pixel_mm``. A subclass names its training method in ``method``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    pixel_mm: float = 1.0
    hu_window: tuple[float, float] = (-20.0, 120.0)
    hu_center: float = 35.0
    hu_scale: float = 20.0

    @property
    def divisor(self) -> int:
        """Height and width of the input must be multiples of this."""
        raise NotImplementedError

    def encode(self, hu: Tensor) -> Tensor:
        """HU to network units."""
        return (hu.clamp(*self.hu_window) - self.hu_center) / self.hu_scale

    def decode(self, x: Tensor) -> Tensor:
        """Network units to HU, inside the window."""
        return (x * self.hu_scale + self.hu_center).clamp(*self.hu_window)


class ModelConfig(ImageModelConfig):
    """A network that fills holes of one slice (detector ``grid``)."""

    method: Literal["grid"] = "grid"
    network: UNetConfig = Field(default_factory=UNetConfig)
    n_timesteps: int = 1000

    @property
    def divisor(self) -> int:
        """Height and width of the input must be multiples of this."""
        return self.network.divisor

    def schedule(self) -> NoiseSchedule:
        """The noise schedule that the network was trained with."""
        return cosine_schedule(self.n_timesteps)


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


def load_network(folder: Path, config: ModelConfig) -> PatchUNet:
    """Network of a model folder with its weights, float32 on the CPU.

    Raises
    ------
    InputRefused
        If the weights are damaged or belong to another configuration.
    """
    network = PatchUNet(config.network)
    load_weights(folder, network)
    return network


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
    config = load_config(folder, ModelConfig)
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
