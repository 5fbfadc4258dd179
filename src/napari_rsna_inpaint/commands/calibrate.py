"""``calibrate``: learn what a model leaves behind in healthy scans."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from napari_rsna_inpaint.commands.common import add_model, add_protocol

HELP = "calibrate a model on healthy scans that it was not trained on"


def add_arguments(parser: ArgumentParser) -> None:
    """Scans, model and protocol."""
    parser.add_argument("scans", type=Path, nargs="+", metavar="INPUT", help="healthy scans")
    add_protocol(parser)
    add_model(parser)


def run(arguments: Namespace) -> int:
    """Write ``calibration.json`` into the model's folder."""
    from napari_rsna_inpaint.detection.calibration import check_writable, save_calibration
    from napari_rsna_inpaint.detection.grid import GridDetector
    from napari_rsna_inpaint.detection.healthy import calibrate
    from napari_rsna_inpaint.diffusion.model import find_model

    folder = find_model(arguments.model)
    check_writable(folder)
    detector = GridDetector(
        arguments.protocol, model=folder, device=arguments.device, backend=arguments.backend
    )
    calibration = calibrate(
        arguments.scans, detector, seed=arguments.seed, on_scan=lambda name: print(name, flush=True)
    )
    save_calibration(folder, calibration)
    print(f"{calibration.n_slices} slices of {calibration.n_scans} scans for {folder.name}")
    return 0
