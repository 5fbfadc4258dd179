"""``detect``: the main job on one scan."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from napari_rsna_inpaint.commands.common import (
    add_detector,
    add_input,
    add_model,
    add_parameters,
    add_protocol,
    exit_code,
    positive,
    progress_bar,
    rate,
    read_noted,
    say_statement,
    stop_on_interrupt,
)
from napari_rsna_inpaint.errors import Cancelled

HELP = "find where a scan departs from a healthy brain"
PARTIAL = ".rsna-inpaint-partial"


def add_arguments(parser: ArgumentParser) -> None:
    """The arguments of the main job."""
    add_input(parser)
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR")
    add_detector(parser)
    add_protocol(parser)
    add_parameters(parser)
    add_model(parser)
    parser.add_argument(
        "--batch-size", type=positive, metavar="N", help="images a network call (speed only)"
    )
    parser.add_argument(
        "--flag-rate",
        type=rate,
        default=0.1,
        metavar="R",
        help="part of healthy scans that may be called suspicious (default 0.1)",
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on with the finished slices of a stopped run"
    )


def run(arguments: Namespace) -> int:
    """Write the results; 5 where some slices could not be read, 130 when cancelled."""
    from napari_rsna_inpaint import detect
    from napari_rsna_inpaint.detection.files import make_folder, write_detection
    from napari_rsna_inpaint.detection.resume import clear

    say_statement()
    volume = read_noted(arguments)
    make_folder(arguments.output)
    store = arguments.output / PARTIAL
    with progress_bar() as bar, stop_on_interrupt() as stop:
        task = bar.add_task("brain mask", total=None)

        def show(done: int, total: int, partial: object) -> None:
            bar.update(task, description="inpainting", completed=done, total=total or None)

        try:
            detection = detect(
                volume,
                arguments.detector,
                protocol=arguments.protocol,
                parameters=dict(arguments.parameters),
                model=arguments.model,
                device=arguments.device,
                backend=arguments.backend,
                seed=arguments.seed,
                flag_rate=arguments.flag_rate,
                batch_size=arguments.batch_size,
                store=store,
                resume=arguments.resume,
                on_progress=show,
                cancelled=stop.is_set,
            )
        except Cancelled as error:
            if error.partial is not None:
                write_detection(arguments.output, error.partial, volume)
            print("Cancelled; finished slices are kept, go on with --resume.", file=sys.stderr)
            return error.exit_code
    write_detection(arguments.output, detection, volume)
    clear(store)
    print(f"{len(detection.findings)} findings in {arguments.output}")
    print(_verdict(detection.run["scan"]))
    for finding in detection.findings[:5]:
        first, last = finding.slices
        print(
            f"  {finding.id}  slices {first}-{last}  {finding.volume_ml:.1f} ml  "
            f"{finding.mean_hu:.0f} HU  {finding.mean_residual_hu:+.0f} HU  {finding.sign}  "
            f"score {finding.score:.2f}"
        )
    return exit_code(volume)


def _verdict(scan: dict[str, Any]) -> str:
    """One line on the scan as a whole."""
    if scan["threshold"] is None:
        return f"scan score {scan['score']:.2f}; too few healthy scans for a threshold"
    relation = "above" if scan["suspicious"] else "not above"
    return (
        f"scan score {scan['score']:.2f}, {relation} {scan['threshold']:.2f}, which at most "
        f"{scan['flag_rate']:.0%} of healthy scans exceed"
    )
