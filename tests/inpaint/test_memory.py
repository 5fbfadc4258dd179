"""Batches: as large as the memory allows, and smaller where it does not."""

import numpy as np
import pytest
import torch

from napari_rsna_inpaint.diffusion.model import BatchedDenoiser, load_denoiser
from napari_rsna_inpaint.diffusion.unet import UNetConfig
from napari_rsna_inpaint.errors import MemoryFull
from napari_rsna_inpaint.inpaint import batches
from napari_rsna_inpaint.inpaint.batches import automatic_batch, image_bytes, is_out_of_memory
from napari_rsna_inpaint.inpaint.engine import Job, SliceContext, complete
from napari_rsna_inpaint.inpaint.protocols import Sampling

SAMPLING = Sampling(method="dpm++", steps=3, spacing="log_snr")
SHAPE = (32, 48)


class Small:
    """A denoiser whose memory holds ``room`` images, and nothing at its call ``fails_at``."""

    def __init__(self, denoiser, room, fails_at=None):
        self.config, self.device = denoiser.config, denoiser.device
        self.room, self.fails_at = room, fails_at
        self.sizes = []
        self._denoiser = denoiser

    def __call__(self, x_t, t, condition):
        self.sizes.append(len(x_t))
        if len(x_t) > self.room or len(self.sizes) == self.fails_at:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self._denoiser(x_t, t, condition)


@pytest.fixture(scope="module")
def denoiser(tiny_model):
    return load_denoiser(tiny_model, device="cpu")


@pytest.fixture(scope="module")
def jobs():
    rng = np.random.default_rng(0)
    contexts = [
        SliceContext(
            z, rng.normal(35, 10, SHAPE).astype(np.float32), np.ones(SHAPE, bool), None, None
        )
        for z in range(4)
    ]
    return [
        Job(context, rng.random(SHAPE) < 0.2, seed=10 * context.index + k)
        for context in contexts
        for k in range(3)
    ]


def completions(jobs, denoiser, **options):
    results = list(complete(jobs, denoiser, SAMPLING, **options))
    assert [job for job, _ in results] == list(jobs)
    return np.stack([image for _, image in results])


@pytest.mark.parametrize("room", [1, 3, 5])
def test_where_memory_is_short_the_result_is_the_same(jobs, denoiser, room):
    small = Small(denoiser, room)
    np.testing.assert_array_equal(
        completions(jobs, small, batch_size=12), completions(jobs, denoiser, batch_size=12)
    )
    # once found, the size that fits is kept
    tried = 12
    while tried > room:
        tried //= 2
    assert set(small.sizes[-6:]) == {tried}


def test_memory_that_runs_out_between_two_steps_is_counted_once(jobs, denoiser):
    counts = []
    small = Small(denoiser, room=100, fails_at=5)
    completions(jobs, small, batch_size=4, on_evaluations=counts.append)
    assert sum(counts) == 3 * len(jobs)
    assert min(counts) == -4


def test_memory_that_does_not_suffice_for_one_image_is_said(jobs, denoiser):
    results = complete(jobs, Small(denoiser, room=0), SAMPLING, batch_size=4)
    with pytest.raises(MemoryFull, match="close other programs"):
        next(results)


def test_a_full_gpu_hands_over_to_the_cpu(jobs, denoiser, monkeypatch):
    class FullGpu(BatchedDenoiser):
        backend, runtime, images_at_once = "torch", "", None
        config, device = denoiser.config, denoiser.device

        def on_cpu(self):
            return denoiser

        def _evaluate(self, inputs, t):
            raise torch.OutOfMemoryError("CUDA out of memory")

    gpu = FullGpu()
    # planes are made on the device before the network is asked; there is no GPU here
    monkeypatch.setattr(gpu, "device", torch.device("cpu"), raising=False)
    monkeypatch.setattr("napari_rsna_inpaint.inpaint.engine._on_gpu", lambda one: one is gpu)
    np.testing.assert_array_equal(
        completions(jobs, gpu, batch_size=4), completions(jobs, denoiser, batch_size=4)
    )


def test_other_errors_pass(jobs, denoiser):
    class Broken(Small):
        def __call__(self, x_t, t, condition):
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="shapes"):
        completions(jobs, Broken(denoiser, room=4), batch_size=4)


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 8 bytes"), True),
        (RuntimeError("Failed to allocate memory for requested buffer of size 9"), True),
        (RuntimeError("CUDA error: device-side assert triggered"), False),
        (ValueError("height and width must be multiples of 16"), False),
    ],
)
def test_errors_of_full_memory_are_told_from_others(error, full):
    assert is_out_of_memory(error) is full


def test_the_batch_follows_the_free_memory(monkeypatch):
    network, cpu, gpu = UNetConfig(), torch.device("cpu"), torch.device("cuda")
    one = image_bytes((192, 160), network)
    for free, on_cpu, on_gpu in ((0, 1, 1), (8 * one, 4, 4), (10**15, 8, 256)):
        monkeypatch.setattr(batches, "free_bytes", lambda device, free=free: free)
        assert automatic_batch((192, 160), network, cpu) == on_cpu
        assert automatic_batch((192, 160), network, gpu) == on_gpu
    assert image_bytes((384, 320), network) == 4 * one


def test_the_memory_of_a_call_is_estimated_from_above(tiny_model):
    """What PyTorch allocates for one more image stays below the estimate."""
    from torch.profiler import ProfilerActivity, profile

    denoiser = load_denoiser(tiny_model, device="cpu")
    divisor = denoiser.config.network.divisor
    inputs = torch.zeros(4, 6, 8 * divisor, 8 * divisor)
    with (
        torch.inference_mode(),
        profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record,
    ):
        denoiser._evaluate(inputs, 0)
    held = peak = 0
    for event in record.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            peak = max(peak, held)
    assert 0 < peak / 4 < image_bytes(inputs.shape[2:], denoiser.config.network)
