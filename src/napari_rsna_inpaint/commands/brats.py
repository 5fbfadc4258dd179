"""``brats``: synthesis of healthy tissue in brain MR, on cases of the BraTS challenge."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from napari_rsna_inpaint.commands.common import (
    not_negative,
    positive,
    progress_bar,
    say_statement,
    stop_on_interrupt,
)

if TYPE_CHECKING:
    from napari_rsna_inpaint.brats.work import Progress, Work

HELP = "complete brain MR with healthy tissue, on cases of the BraTS challenge"


def add_arguments(parser: ArgumentParser) -> None:
    """``prepare``, ``masks``, ``inpaint`` and ``score``."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    prepare = actions.add_parser("prepare", help="prepare cases for training")
    _add_cases(prepare)
    prepare.add_argument(
        "--pixel-mm", type=_size, default=1.0, metavar="MM", help="size of the voxels (1)"
    )
    masks = actions.add_parser("masks", help="make further cases with other healthy masks")
    _add_cases(masks)
    masks.add_argument(
        "--per-case", type=positive, default=5, metavar="N", help="masks of a case (5)"
    )
    masks.add_argument("--seed", type=not_negative, default=0, metavar="N")
    inpaint = actions.add_parser("inpaint", help="complete cases")
    _add_cases(inpaint)
    inpaint.add_argument("--model", required=True, metavar="NAME|PATH", help="model of brain MR")
    inpaint.add_argument("--samples", type=positive, default=1, metavar="K", help="completions (1)")
    inpaint.add_argument(
        "--sampler",
        choices=("one_step", "two_step", "ddpm", "dpm++"),
        default="two_step",
        help="how holes are filled (two_step)",
    )
    inpaint.add_argument(
        "--steps", type=positive, default=20, metavar="N", help="of ddpm and dpm++ (20)"
    )
    inpaint.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    inpaint.add_argument("--seed", type=not_negative, default=0, metavar="N")
    score = actions.add_parser("score", help="measure results in the healthy masks")
    score.add_argument("cases", type=Path, metavar="TRUTH_CASES", help="cases with their truth")
    score.add_argument("results", type=Path, metavar="RESULTS", help="output of 'brats inpaint'")
    score.add_argument("-o", "--output", type=Path, required=True, metavar="JSON|CSV")


def _add_cases(parser: ArgumentParser) -> None:
    parser.add_argument(
        "cases", type=Path, metavar="CASES", help="folder, searched below for <case>-t1n.nii.gz ..."
    )
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR")


def _size(text: str) -> float:
    try:
        size = float(text)
    except ValueError:
        size = 0.0
    if not 0.1 <= size <= 10:
        raise ArgumentTypeError(f"{text!r} is no voxel size between 0.1 and 10 mm")
    return size


def run(arguments: Namespace) -> int:
    """5 where a case could not be used or a mask was given up, 130 when cancelled."""
    from napari_rsna_inpaint.errors import Cancelled

    say_statement()
    action = _ACTIONS[arguments.action]
    with progress_bar() as bar, stop_on_interrupt() as stop:
        task = bar.add_task(arguments.action, total=None)

        def show(done: float, total: int) -> None:
            bar.update(task, completed=done, total=total)

        try:
            work = action(arguments, show, stop.is_set)
        except Cancelled as error:
            print(error, file=sys.stderr)
            return error.exit_code
    for name, reason in work.refused:
        print(f"refused: {name}: {reason}", file=sys.stderr)
    given_up = _given_up(work) if arguments.action == "masks" else []
    for name in given_up:
        print(f"given up: {name}: no blob found a place in healthy brain.", file=sys.stderr)
    return 5 if work.refused or given_up else 0


def _given_up(work: Work) -> list[str]:
    records = [record for one in work.done.values() for record in one["masks"]]
    return [record["case"] for record in records if record["given_up"]]


def _prepare(arguments: Namespace, show: Progress, stop: Callable[[], bool]) -> Work:
    from napari_rsna_inpaint.brats.cases import find_cases
    from napari_rsna_inpaint.brats.prepare import SETTINGS, prepare_cases

    cases = find_cases(arguments.cases)
    work = prepare_cases(
        cases, arguments.output, pixel_mm=arguments.pixel_mm, on_case=show, cancelled=stop
    )
    print(f"{len(work.done)} of {len(cases)} cases in {arguments.output}; train on them with")
    print(
        f"  rsna-inpaint train --method wavelet3d --data {arguments.output} "
        f"--config {arguments.output / SETTINGS} -o RUN"
    )
    return work


def _masks(arguments: Namespace, show: Progress, stop: Callable[[], bool]) -> Work:
    from napari_rsna_inpaint.brats.cases import find_cases
    from napari_rsna_inpaint.brats.extra import make_extra_cases

    work = make_extra_cases(
        find_cases(arguments.cases),
        arguments.output,
        per_case=arguments.per_case,
        seed=arguments.seed,
        on_case=show,
        cancelled=stop,
    )
    made = sum(len(one["masks"]) for one in work.done.values()) - len(_given_up(work))
    print(f"{made} masks of {len(work.done)} cases in {arguments.output} (masks.json)")
    return work


def _inpaint(arguments: Namespace, show: Progress, stop: Callable[[], bool]) -> Work:
    from napari_rsna_inpaint.brats.cases import find_cases
    from napari_rsna_inpaint.brats.complete import complete_cases
    from napari_rsna_inpaint.diffusion.model_folder import find_model, model_sha256
    from napari_rsna_inpaint.diffusion.wavelet_model import load_wavelet_denoiser
    from napari_rsna_inpaint.inpaint.volumetric import VolumeSampling

    cases = find_cases(arguments.cases)
    folder = find_model(arguments.model, "wavelet3d")
    work = complete_cases(
        cases,
        arguments.output,
        load_wavelet_denoiser(folder, arguments.device),
        VolumeSampling(method=arguments.sampler, steps=arguments.steps),
        model=f"{folder.name} {model_sha256(folder)}",
        samples=arguments.samples,
        seed=arguments.seed,
        on_progress=show,
        cancelled=stop,
    )
    print(f"{len(work.done)} of {len(cases)} cases completed in {arguments.output}")
    return work


def _score(arguments: Namespace, show: Progress, stop: Callable[[], bool]) -> Work:
    import numpy as np

    from napari_rsna_inpaint.brats.cases import find_cases
    from napari_rsna_inpaint.brats.score import check_name, score_cases, summary, write_scores

    check_name(arguments.output)
    work = score_cases(
        find_cases(arguments.cases), find_cases(arguments.results), on_case=show, cancelled=stop
    )
    write_scores(arguments.output, work)
    means = summary(list(work.done.values()), np.mean)
    said = "  ".join(f"{name} {means[name]:.4g}" for name in ("ssim", "psnr", "mse") if means)
    print(f"{len(work.done)} cases: {said or 'nothing to score'}")
    return work


_ACTIONS = {"prepare": _prepare, "masks": _masks, "inpaint": _inpaint, "score": _score}
