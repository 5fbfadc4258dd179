"""Completed cases, on the very grid of their images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_rsna_inpaint import STATEMENT
from napari_rsna_inpaint.brats.cases import INFERENCE, Case, brain_of
from napari_rsna_inpaint.brats.images import Image, write_image
from napari_rsna_inpaint.brats.normalise import WINDOW, Scale
from napari_rsna_inpaint.brats.prepare import brain_box, check_voxels
from napari_rsna_inpaint.brats.work import (
    Progress,
    Work,
    each_case,
    key_of,
    seed_of,
    stored_record,
)
from napari_rsna_inpaint.detection.files import make_folder
from napari_rsna_inpaint.diffusion.wavelet_model import WaveletDenoiser
from napari_rsna_inpaint.errors import InputRefused
from napari_rsna_inpaint.inpaint.volumetric import VolumeSampling, iterate_completions
from napari_rsna_inpaint.io.write import write_json

#: Background around the brain that the network sees, voxels.
MARGIN = 4


def complete_cases(
    cases: Sequence[Case],
    output: Path,
    denoiser: WaveletDenoiser,
    sampling: VolumeSampling,
    *,
    model: str,
    samples: int = 1,
    seed: int = 0,
    on_progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Work:
    """Write ``<case>-t1n-inference.nii.gz`` and a record of every case.

    With several samples that is their mean, and each of them is written as
    ``<case>-sample-<n>.nii.gz``. Cases that an earlier run finished with the same files and
    settings are not done again. Voxels outside of the mask are those of the input, bit for bit.

    Parameters
    ----------
    model
        What identifies the weights, for the record.
    on_progress
        Called after every network evaluation.

    Raises
    ------
    InputRefused
        If the model was not trained on MR.
    Cancelled
        When ``cancelled()`` returned True; finished cases are kept.
    """
    if denoiser.config.hu_window != WINDOW:
        raise InputRefused(
            "This model was trained on other images than MR; train one on the output of "
            "'rsna-inpaint brats prepare'."
        )
    make_folder(output)
    settings = (model, sampling.model_dump_json(), samples, seed)
    before = {case.name: number for number, case in enumerate(cases)}

    def work(case: Case) -> dict[str, Any]:
        def step(done: int, total: int) -> None:
            if on_progress is not None:
                on_progress(before[case.name] + done / total, len(cases))

        path = output / f"{case.name}-{INFERENCE}.json"
        key = key_of(case, *settings)
        record = stored_record(path, key)
        if record is None:
            image, made = complete_case(
                case, denoiser, sampling, samples, seed, on_step=step, cancelled=cancelled
            )
            for number, one in enumerate(made if samples > 1 else (), start=1):
                write_image(output / f"{case.name}-sample-{number}.nii.gz", one, image)
            # a mean of numbers as stored is one of intensities: scaling is linear
            mean = made[0] if samples == 1 else _mean(made, image)
            write_image(output / f"{case.name}-{INFERENCE}.nii.gz", mean, image)
            record = {
                "key": key,
                "case": case.name,
                "model": model,
                "sampling": sampling.model_dump(),
                "samples": samples,
                "seed": seed,
                "statement": STATEMENT,
            }
            write_json(path, record)
        return record

    return each_case(cases, work, cancelled=cancelled, on_case=on_progress)


def complete_case(
    case: Case,
    denoiser: WaveletDenoiser,
    sampling: VolumeSampling,
    samples: int = 1,
    seed: int = 0,
    *,
    on_step: Callable[[int, int], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> tuple[Image, list[npt.NDArray[Any]]]:
    """Fill the hole of a case.

    Returns
    -------
    The image, and ``(i, j, k)`` numbers of completed files, one a sample, as stored.

    Raises
    ------
    InputRefused
        If the case is incomplete, or its voxels are not those of the model.
    Cancelled
        When ``cancelled()`` returned True.
    """
    image, hole = case.known()
    check_voxels(image.spacing, denoiser.config.pixel_mm)
    values = np.where(hole, 0, image.values)
    scale = Scale.of(values, ~hole)
    brain = image.to_canonical(brain_of(values, hole))
    inside = brain_box(brain, MARGIN)
    shown = np.ascontiguousarray(image.to_canonical(scale.to_model(values))[inside])
    drawn = iterate_completions(
        shown,
        np.ascontiguousarray(image.to_canonical(hole)[inside]),
        np.ascontiguousarray(brain[inside]),
        denoiser,
        sampling,
        seed=int(np.random.SeedSequence(seed_of(case.name, seed)).generate_state(1)[0]),
        samples=samples,
        on_step=on_step,
        cancelled=cancelled,
    )
    completed = []
    for one in drawn:
        whole = np.zeros(brain.shape, np.float64)
        whole[inside] = scale.from_model(one)
        numbers = image.stored.copy()
        numbers[hole] = image.to_stored(image.from_canonical(whole)[hole])
        completed.append(numbers)
    return image, completed


def _mean(made: Sequence[npt.NDArray[Any]], image: Image) -> npt.NDArray[Any]:
    """Mean of completed files, as stored; known voxels stay as they are."""
    same = np.logical_and.reduce([one == made[0] for one in made])
    mean = np.mean([one.astype(np.float64) for one in made], axis=0)
    rounded = mean if image.stored.dtype.kind == "f" else np.rint(mean)
    return np.where(same, made[0], rounded.astype(image.stored.dtype))
