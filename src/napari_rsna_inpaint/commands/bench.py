"""``bench``: speed and memory on this machine, beside other ways to do the same."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from napari_rsna_inpaint.commands.common import positive, read_noted, say_statement

HELP = "measure speed and memory on this machine, beside other ways to do the same"


def add_arguments(parser: ArgumentParser) -> None:
    """Scan, model and how long to measure."""
    parser.add_argument(
        "input",
        type=Path,
        nargs="?",
        metavar="INPUT",
        help="head CT, taken as healthy (default: the built-in phantom)",
    )
    parser.add_argument("--series", metavar="UID", help="which series, where there are several")
    parser.add_argument("--model", metavar="NAME|PATH", help="installed model or model folder")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE.json", help="all figures")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="about 2 minutes on 2 cores, not 25: long runs are measured in part and multiplied",
    )
    parser.add_argument(
        "--repeats", type=positive, metavar="N", help="runs a median is of (default 3, quick 1)"
    )
    parser.add_argument("--threads", type=positive, metavar="N", help="of PyTorch and ONNX Runtime")


def run(arguments: Namespace) -> int:
    """Print the tables; write the file where one is named."""
    import torch

    from napari_rsna_inpaint.bench.run import bench
    from napari_rsna_inpaint.bench.table import print_tables
    from napari_rsna_inpaint.errors import OutputFailed, UsageError
    from napari_rsna_inpaint.evaluate.phantom import head_phantom
    from napari_rsna_inpaint.io.write import write_json

    say_statement()
    if arguments.series is not None and arguments.input is None:
        raise UsageError("--series chooses in an INPUT; name both or none.")
    output = arguments.output
    if output is not None and not output.parent.is_dir():
        raise OutputFailed(f"There is no folder {output.parent}; create it or name another.")
    if arguments.threads is not None:
        torch.set_num_threads(arguments.threads)
    volume = head_phantom(seed=1).volume if arguments.input is None else read_noted(arguments)
    found = bench(
        volume,
        model=arguments.model,
        repeats=arguments.repeats or (1 if arguments.quick else 3),
        quick=arguments.quick,
        say=lambda line: print(f"measuring: {line}", file=sys.stderr, flush=True),
    )
    print_tables(found)
    if output is not None:
        write_json(output, found)
    return 0
