"""``calibrate``: learn what a model leaves behind in healthy scans."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from napari_rsna_inpaint.commands.common import (
    add_detector,
    add_model,
    add_protocol,
    not_negative,
    progress_bar,
    stop_on_interrupt,
)
from napari_rsna_inpaint.errors import InputRefused

HELP = "calibrate a model on healthy scans that it was not trained on"


def add_arguments(parser: ArgumentParser) -> None:
    """Scans, model and protocol."""
    parser.add_argument("scans", type=Path, nargs="+", metavar="INPUT", help="healthy scans")
    add_detector(parser)
    parser.add_argument(
        "--bleeds",
        type=not_negative,
        default=3,
        metavar="N",
        help="synthetic bleeds inserted into each scan to learn how bleeds differ from healthy "
        "look-alikes (default 3); 0 keeps this and the thresholds of the nearest protocol",
    )
    add_protocol(parser)
    add_model(parser)


def run(arguments: Namespace) -> int:
    """Write ``calibration.json`` into the model's folder; 5 where scans were left out."""
    from napari_rsna_inpaint.detection.calibration import (
        check_writable,
        load_calibration,
        save_calibration,
    )
    from napari_rsna_inpaint.detection.registry import make_detector
    from napari_rsna_inpaint.train.calibrate import calibrate

    detector = make_detector(
        arguments.detector,
        arguments.protocol,
        model=arguments.model,
        device=arguments.device,
        backend=arguments.backend,
    )
    folder = getattr(detector, "folder", None)
    if folder is None:
        raise InputRefused(
            f"The detector {detector.name!r} has no model folder that keeps a calibration."
        )
    check_writable(folder)
    known = None
    if arguments.bleeds == 0:
        known = load_calibration(folder, detector.name, arguments.protocol)
    with progress_bar() as bar, stop_on_interrupt() as stop:
        task = bar.add_task("calibrating", total=len(arguments.scans))
        calibration = calibrate(
            arguments.scans,
            detector,
            bleeds=arguments.bleeds,
            known=known,
            seed=arguments.seed,
            on_scan=lambda name: bar.advance(task),
            cancelled=stop.is_set,
        )
    save_calibration(folder, detector.name, calibration)
    print(f"{calibration.n_slices} slices of {calibration.n_scans} scans for {folder.name}")
    return 0 if calibration.n_scans == len(arguments.scans) else 5
