"""``train``: a denoiser from folders of healthy scans."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from pathlib import Path

from napari_rsna_inpaint.commands.common import positive, progress_bar, stop_on_interrupt

HELP = "train the model of healthy brains"


def add_arguments(parser: ArgumentParser) -> None:
    """Data, output and the few settings that are changed often."""
    parser.add_argument(
        "--data",
        type=Path,
        nargs="+",
        required=True,
        metavar="FOLDER",
        help="folders of healthy scans: each subfolder is a series; loose files are single slices",
    )
    parser.add_argument(
        "--validation",
        nargs="*",
        default=[],
        metavar="NAME",
        help="series (folder names) that are kept for validation",
    )
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR")
    parser.add_argument("--steps", type=positive, metavar="N")
    parser.add_argument("--batch-size", type=positive, metavar="N")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--config", type=Path, metavar="JSON", help="further settings")


def run(arguments: Namespace) -> int:
    """Prepare the data once, train, and resume where an earlier run stopped."""
    from napari_rsna_inpaint.errors import Cancelled, InputRefused
    from napari_rsna_inpaint.train.loop import TrainConfig, Trainer
    from napari_rsna_inpaint.train.prepare import prepare
    from napari_rsna_inpaint.train.sources import find_series

    try:
        settings = json.loads(arguments.config.read_text()) if arguments.config else {}
        for name in ("steps", "batch_size"):
            if getattr(arguments, name) is not None:
                settings[name] = getattr(arguments, name)
        config = TrainConfig.model_validate(settings)
    except (OSError, ValueError, TypeError) as error:
        raise InputRefused(
            f"{arguments.config} holds no valid settings ({str(error).partition(chr(10))[0]})."
        ) from error
    missing = [str(folder) for folder in arguments.data if not folder.is_dir()]
    if missing:
        raise InputRefused(f"There is no folder {missing[0]}; name a folder of scans.")
    paths = find_series(arguments.data)
    unknown = set(arguments.validation) - {path.name for path in paths}
    if unknown:
        raise InputRefused(f"No series is named {sorted(unknown)[0]!r} in the data folders.")
    with progress_bar() as bar, stop_on_interrupt() as stop:
        task = bar.add_task("preparing", total=len(paths))
        series = []
        for path in paths:
            if stop.is_set():
                raise Cancelled("Cancelled while preparing; prepared series are kept.")
            prepared = prepare(path, config.model, arguments.output / "slices")
            series += [prepared] if prepared is not None else []
            bar.advance(task)
        held_out = set(arguments.validation)
        trainer = Trainer(
            config,
            [one for one in series if one.name not in held_out],
            [one for one in series if one.name in held_out],
            arguments.output,
            arguments.device,
        )
        bar.update(task, description="training", completed=trainer.step, total=config.steps)

        def show(done: int, total: int, row: dict[str, float]) -> None:
            bar.update(task, completed=done)
            print("  ".join(f"{name} {value:.4g}" for name, value in row.items()), flush=True)

        trainer.run(show, stop.is_set)
    print(f"model in {arguments.output / 'model'}")
    return 0
