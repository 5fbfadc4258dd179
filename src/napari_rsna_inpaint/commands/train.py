"""``train``: a denoiser from prepared healthy scans."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from napari_rsna_inpaint.commands.common import (
    not_negative,
    positive,
    progress_bar,
    stop_on_interrupt,
)
from napari_rsna_inpaint.train.methods import METHODS, load_method

if TYPE_CHECKING:
    from napari_rsna_inpaint.train.method import Method
    from napari_rsna_inpaint.train.settings import BaseTrainConfig

HELP = "train the model of healthy brains"

#: Not more processes than this prepare batches for one GPU.
MAX_WORKERS = 16


def add_arguments(parser: ArgumentParser) -> None:
    """Data, output and the few settings that are changed often."""
    parser.add_argument(
        "--data",
        type=Path,
        nargs="+",
        required=True,
        metavar="FOLDER",
        help="data sets made by 'rsna-inpaint prepare'; their healthy series are trained on",
    )
    parser.add_argument(
        "--validation",
        nargs="*",
        default=[],
        metavar="NAME",
        help="healthy series that are kept for validation, with all others of their patients",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder of the run; a run that is there already goes on",
    )
    parser.add_argument(
        "--init", metavar="NAME|PATH", help="model whose weights the run starts from"
    )
    parser.add_argument(
        "--lesion-shapes",
        type=Path,
        metavar="FOLDER",
        help="binary 3-D NIfTI masks of lesions, whose outlines serve as holes, too",
    )
    parser.add_argument(
        "--method",
        choices=tuple(METHODS),
        default="grid",
        help="what is trained (default grid); each serves the detector of its name",
    )
    parser.add_argument("--steps", type=positive, metavar="N")
    parser.add_argument(
        "--batch-size", type=positive, metavar="N", help="examples a step, over all processes"
    )
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument(
        "--workers",
        type=not_negative,
        metavar="N",
        help="processes that prepare batches (default: none on a CPU, all cores for a GPU)",
    )
    parser.add_argument(
        "--config", type=Path, metavar="JSON", help="further settings, as in train.json of a run"
    )


def run(arguments: Namespace) -> int:
    """Train, or go on where an earlier run stopped."""
    from napari_rsna_inpaint.errors import InputRefused, RsnaInpaintError

    if not all(find_spec(name) for name in ("lightning_fabric", "tensorboard")):
        raise RsnaInpaintError(
            "Training needs more packages: pip install 'napari-rsna-inpaint[train]'."
        )
    method = load_method(arguments.method)
    config = _settings(arguments, method)
    if arguments.lesion_shapes is not None and not arguments.lesion_shapes.is_dir():
        raise InputRefused(f"There is no folder {arguments.lesion_shapes}; name one of masks.")

    from napari_rsna_inpaint.train.lesion_outlines import LesionOutlines
    from napari_rsna_inpaint.train.loop import Trainer
    from napari_rsna_inpaint.train.shards import open_dataset
    from napari_rsna_inpaint.train.split import split

    pixel_mm = config.model.pixel_mm
    series = [one for folder in arguments.data for one in open_dataset(folder, pixel_mm)]
    training, validation = split(series, arguments.validation, bleeds=method.needs_bleeds)
    outlines = None
    if arguments.lesion_shapes is not None:
        outlines = LesionOutlines(arguments.lesion_shapes, pixel_mm)
    trainer = Trainer(
        config,
        training,
        validation,
        arguments.output,
        arguments.device,
        init=arguments.init,
        outlines=outlines,
        workers=_workers(arguments),
        method=arguments.method,
    )
    bar = progress_bar()
    bar.disable |= not trainer.is_main
    with bar, stop_on_interrupt() as stop:
        task = bar.add_task("training", completed=trainer.step, total=config.steps)

        def show(done: int, total: int, row: dict[str, float]) -> None:
            bar.update(task, completed=done)
            print("  ".join(f"{name} {value:.4g}" for name, value in row.items()), flush=True)

        trainer.run(show, stop.is_set)
    if trainer.is_main:
        best = ", the best one in best" if validation else ""
        print(f"in {arguments.output}: the last model in model{best}")
    return 0


def _settings(arguments: Namespace, method: type[Method]) -> BaseTrainConfig:
    """Settings file, command line, and the configuration of the model to start from."""
    from napari_rsna_inpaint.diffusion.model_folder import find_model, load_config, method_of
    from napari_rsna_inpaint.errors import InputRefused

    try:
        settings = json.loads(arguments.config.read_text()) if arguments.config else {}
        for name in ("steps", "batch_size"):
            if getattr(arguments, name) is not None:
                settings[name] = getattr(arguments, name)
        if arguments.init is not None:
            folder = find_model(arguments.init, None)
            if method_of(folder) == method.name:
                settings.setdefault("model", load_config(folder, method.model_config_type()))
        return method.config_type.model_validate(settings)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise InputRefused(
            f"{arguments.config} holds no valid settings ({str(error).partition(chr(10))[0]})."
        ) from error


def _workers(arguments: Namespace) -> int:
    import os

    from napari_rsna_inpaint.diffusion.model import pick_device

    if arguments.workers is not None:
        return arguments.workers
    if pick_device(arguments.device).type == "cpu":
        return 0
    # torchrun says how many processes share this machine
    share = (os.cpu_count() or 1) // int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    return max(1, min(share, MAX_WORKERS))
