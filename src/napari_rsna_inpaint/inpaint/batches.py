"""How many images go into one network call, and what is done when they do not fit."""

from __future__ import annotations

import psutil
import torch

from napari_rsna_inpaint.diffusion.unet import UNetConfig

#: Images a call where memory is no matter; larger batches gain little.
CPU_BATCH, GPU_BATCH = 8, 256
#: This part of the free memory may be used: other programs, and the window, need some too.
SHARE_OF_FREE = 0.5
#: Numbers that a network call holds at once for every cell and channel of its first level: 4 in
#: tensors (measured with PyTorch), and as much again, at times more, while it convolves.
NUMBERS_A_CHANNEL = 16
#: How a network call says that memory is full, where the class of the error does not.
_FULL = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "bad allocation",
    "failed to allocate memory",
)


def automatic_batch(shape: tuple[int, int], network: UNetConfig, device: torch.device) -> int:
    """Images of ``(y, x)`` pixels that a call may hold, from the memory that is free now.

    The result of a detection does not depend on it.
    """
    most = CPU_BATCH if device.type == "cpu" else GPU_BATCH
    fitting = int(SHARE_OF_FREE * free_bytes(device) / image_bytes(shape, network))
    return max(1, min(most, fitting))


def image_bytes(shape: tuple[int, int], network: UNetConfig) -> int:
    """Memory that one image of a network call takes, float32, estimated from above."""
    cells = shape[0] * shape[1] // network.patch**2
    return 4 * NUMBERS_A_CHANNEL * network.widths[0] * cells


def free_bytes(device: torch.device) -> int:
    """Free memory of a device, also what PyTorch holds without using it."""
    if device.type == "cpu":
        return psutil.virtual_memory().available
    held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + held


def is_out_of_memory(error: Exception) -> bool:
    """Whether a network call failed for want of memory, whatever ran it.

    PyTorch has a class of its own for GPUs only, ONNX Runtime has none.
    """
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return any(words in str(error).lower() for words in _FULL)
