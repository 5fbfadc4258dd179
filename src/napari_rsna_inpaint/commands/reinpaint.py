"""``reinpaint``: complete one region several times."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from napari_rsna_inpaint.commands.common import (
    add_input,
    add_model,
    exit_code,
    positive,
    read_noted,
    say_statement,
    stop_on_interrupt,
)
from napari_rsna_inpaint.detection.names import REGION_DETECTORS

HELP = "complete a region of a scan several times"


def add_arguments(parser: ArgumentParser) -> None:
    """INPUT, the region and the number of completions."""
    add_input(parser)
    parser.add_argument(
        "--region",
        type=Path,
        required=True,
        metavar="REGION.nii.gz",
        help="on the grid of the scan, non-zero where it is to be completed",
    )
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR")
    parser.add_argument("--samples", type=positive, default=4, metavar="K")
    parser.add_argument(
        "--detector",
        choices=REGION_DETECTORS,
        default="grid",
        help="whose model completes it: slice by slice (default) or in three dimensions",
    )
    add_model(parser)


def run(arguments: Namespace) -> int:
    """Write mean, spread and minimum completion distance on the scan's own grid."""
    from napari_rsna_inpaint import reinpaint
    from napari_rsna_inpaint.detection.files import make_folder, read_region, write_reinpainting

    say_statement()
    volume = read_noted(arguments)
    region = read_region(arguments.region, volume)
    make_folder(arguments.output)
    with stop_on_interrupt() as stop:
        result = reinpaint(
            volume,
            region,
            detector=arguments.detector,
            samples=arguments.samples,
            model=arguments.model,
            device=arguments.device,
            backend=arguments.backend,
            seed=arguments.seed,
            cancelled=stop.is_set,
        )
    write_reinpainting(arguments.output, result, volume)
    print(f"{arguments.samples} completions of {len(result.slices)} slices in {arguments.output}")
    return exit_code(volume)
