"""Sharper images from blurred ones: DiffPIR with a diffusion prior, and the Wiener filter.

Images are ``(N, 1, H, W)`` float tensors. The observed image is taken to be the sharp one,
blurred by a known kernel, plus white noise: where the kernel is wrong, the result is wrong, too.
Beyond the border the image goes on as its mirror image, so nothing of one side rings into the
other.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from napari_rsna_inpaint.diffusion.kernels import Kernel
from napari_rsna_inpaint.diffusion.samplers import Noise, Predict, split_prediction
from napari_rsna_inpaint.diffusion.schedule import NoiseSchedule


def blur(image: Tensor, kernel: Kernel) -> Tensor:
    """The image blurred by a kernel."""
    return _image(_transfer(kernel, image) * _spectrum(image), image)


def wiener(image: Tensor, kernel: Kernel, noise: float) -> Tensor:
    """Wiener filter; needs no model.

    How strong the sharp image is at each frequency is taken to be ``c / f**3``, with ``c`` from
    the observed one: on head CT other powers and weights of the noise gain 0.4 dB at most.

    Parameters
    ----------
    image
        ``(N, 1, H, W)`` in any unit.
    noise
        Standard deviation of its noise, above 0.
    """
    transfer = _transfer(kernel, image)
    observed = _spectrum(image)
    power = transfer.abs().square()
    cubed = _frequency(image) ** 3
    known = cubed > 0
    # what is observed besides the noise is the sum of c |K|^2 / f^3
    white = noise**2 * 4 * image.shape[-2] * image.shape[-1]
    besides = (observed.abs().square() - white).mul(known).sum((-2, -1), keepdim=True)
    strength = besides.clamp_min(white) / torch.where(known, power / cubed, 0).sum()
    return _image(transfer.conj() * observed / (power + white * cubed / strength), image)


def split_excess(
    image: Tensor, kernel: Kernel, noise: float, window: tuple[float, float]
) -> tuple[Tensor, Tensor]:
    """Part a blurred image into what the sharp one has inside a window and beyond it.

    A network sees tissue in a window of HU, but bone, ten times as dense, is blurred into the
    tissue beside it: clipping the blurred image would leave its share there. What lies beyond
    the window is estimated by the Wiener filter; blurred again it is much more certain.

    Parameters
    ----------
    image
        ``(N, 1, H, W)`` HU.
    noise
        Standard deviation of its noise, HU.
    window
        HU.

    Returns
    -------
    inside
        What would have been observed of the sharp image clipped to the window, with the noise.
    excess
        Sharp, to be added to the sharp clipped image.
    """
    sharp = wiener(image, kernel, noise)
    excess = sharp - sharp.clamp(*window)
    return image - blur(excess, kernel), excess


def data_step(x0: Tensor, image: Tensor, kernel: Kernel, rho: float) -> Tensor:
    """The image nearest to both: ``argmin |k * x - image|^2 + rho |x - x0|^2``.

    Zhu et al. 2023, equation 13, solved exactly in the Fourier domain.
    """
    transfer = _transfer(kernel, image)
    above = transfer.conj() * _spectrum(image) + rho * _spectrum(x0)
    return _image(above / (transfer.abs().square() + rho), image)


def deblur_timesteps(
    schedule: NoiseSchedule, n_steps: int, start: float = 0.4, end: float = 0.06
) -> list[int]:
    """``n_steps`` equally spaced timesteps down from ``start`` to ``end``, shares of all.

    A blurred image tells the coarse structure: a walk from pure noise would only find it again.
    Below 2 HU of noise, at the end, nothing is left to be removed.
    """
    first, last = (round(share * (len(schedule) - 1)) for share in (start, end))
    if not 0 <= last < first < len(schedule) - 1 or not 2 <= n_steps <= first - last + 1:
        raise ValueError(f"no {n_steps} steps from {start} to {end}")
    return [round(first + (last - first) * i / (n_steps - 1)) for i in range(n_steps)]


def diffpir(
    predict: Predict,
    image: Tensor,
    kernel: Kernel,
    schedule: NoiseSchedule,
    timesteps: Sequence[int],
    *,
    sigma: float,
    weight: float = 1.0,
    zeta: float = 1.0,
    temperature: float = 0.0,
    bounds: tuple[float, float] = (-math.inf, math.inf),
    noise: Noise,
) -> Tensor:
    """Find a sharp image that the prior knows and that explains the blurred one.

    DiffPIR (Zhu et al. 2023, algorithm 1): every clean image that the network predicts is
    drawn to the data before the next step. The last one is not, so that it is free of noise.

    Parameters
    ----------
    predict
        Unconditional v-prediction (see `samplers`).
    image
        Observed, blurred and noisy, network units; ``(N, 1, H, W)``.
    timesteps
        Downwards; pure noise, which says nothing, cannot be one of them.
    sigma
        Standard deviation of the noise in ``image``, network units.
    weight
        Lambda of the paper: how much the prior counts against the data.
    zeta
        Share of fresh noise in the noise of every step, 0 to 1.
    temperature
        Noise of every step, as a share of what the schedule says. At 1, as published, the result
        is a sample, with invented texture; at 0 it is what such samples have in common: the
        plug-and-play iteration of Zhang et al. 2021, without any noise.
    bounds
        Network units that an image can have. Images are clipped to them, or the data, divided
        by almost nothing in the first steps, would explode.
    """
    alpha, spread = schedule.alpha_sigma(timesteps[0])
    x = alpha * image + temperature * spread * noise(image)
    for t, t_next in itertools.pairwise(timesteps):
        alpha, spread = schedule.alpha_sigma(t)
        x0, _ = split_prediction(x, predict(x, t), alpha, spread)
        rho = weight * (sigma * alpha / spread) ** 2
        x0 = data_step(x0, image, kernel, rho).clamp(*bounds)
        eps = (x - alpha * x0) / spread
        alpha, spread = schedule.alpha_sigma(t_next)
        fresh = math.sqrt(1 - zeta) * eps + math.sqrt(zeta) * noise(x)
        x = alpha * x0 + temperature * spread * fresh
    last = timesteps[-1]
    return split_prediction(x, predict(x, last), *schedule.alpha_sigma(last))[0].clamp(*bounds)


def _mirrored(image: Tensor) -> Tensor:
    """Four times the image, mirrored at two borders: seamless when repeated."""
    image = torch.cat([image, image.flip(-1)], -1)
    return torch.cat([image, image.flip(-2)], -2)


def _spectrum(image: Tensor) -> Tensor:
    # one by one: transforms of another number of images differ in the last bits
    return torch.stack([torch.fft.rfft2(one) for one in _mirrored(image)])


def _image(spectrum: Tensor, like: Tensor) -> Tensor:
    height, width = like.shape[-2:]
    whole = [torch.fft.irfft2(one, s=(2 * height, 2 * width)) for one in spectrum]
    return torch.stack(whole)[..., :height, :width]


def _transfer(kernel: Kernel, like: Tensor) -> Tensor:
    """Spectrum of the kernel on the mirrored image, its middle at the origin."""
    height, width = 2 * like.shape[-2], 2 * like.shape[-1]
    rows, columns = kernel.shape
    if rows > height or columns > width:
        raise ValueError(
            f"a kernel of {rows}x{columns} is too large for {height // 2}x{width // 2}"
        )
    placed = like.new_zeros(height, width)
    placed[:rows, :columns] = torch.from_numpy(kernel).to(like)
    return torch.fft.rfft2(placed.roll((-(rows // 2), -(columns // 2)), (0, 1)))


def _frequency(like: Tensor) -> Tensor:
    """Spatial frequency of the spectrum's entries, 1 / pixel."""
    height, width = 2 * like.shape[-2], 2 * like.shape[-1]
    rows = torch.fft.fftfreq(height, device=like.device)
    columns = torch.fft.rfftfreq(width, device=like.device)
    return torch.hypot(rows[:, None], columns[None])
