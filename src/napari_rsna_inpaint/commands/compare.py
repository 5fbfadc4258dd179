"""``compare``: several detectors on the same labelled scans, side by side."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_rsna_inpaint.commands.common import (
    add_protocol,
    not_negative,
    progress_bar,
    say_statement,
    stop_on_interrupt,
)
from napari_rsna_inpaint.commands.evaluate import add_scans, check_folders, shapes_of
from napari_rsna_inpaint.detection.names import detectors
from napari_rsna_inpaint.errors import Cancelled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_rsna_inpaint.evaluate.share import Share

HELP = "measure several detectors on the same labelled scans, side by side"


def add_arguments(parser: ArgumentParser) -> None:
    """Data and labels as for ``evaluate``; which detectors."""
    add_scans(parser)
    parser.add_argument(
        "--detectors",
        nargs="+",
        choices=detectors(),
        default=detectors(),
        metavar="NAME",
        help=f"default all installed: {', '.join(detectors())}",
    )
    add_protocol(parser)
    parser.add_argument(
        "--model",
        action="append",
        default=[],
        type=_model,
        dest="models",
        metavar="DETECTOR=NAME|PATH",
        help="model of a detector in place of its own, repeatable",
    )
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--seed", type=not_negative, default=0, metavar="N")


def _model(text: str) -> tuple[str, str]:
    name, equals, model = text.partition("=")
    if name not in detectors() or not equals or not model:
        raise ArgumentTypeError(f"{text!r} is not of the form DETECTOR=NAME|PATH")
    return name, model


def run(arguments: Namespace) -> int:
    """Write table and sheet; 5 where a detector or a scan is missing, 130 when cancelled."""
    from napari_rsna_inpaint.detection.files import make_folder
    from napari_rsna_inpaint.evaluate.baselines import healthy_norms
    from napari_rsna_inpaint.evaluate.cases import read_cases
    from napari_rsna_inpaint.evaluate.compare import compare, left_out
    from napari_rsna_inpaint.evaluate.compare_report import write_comparison
    from napari_rsna_inpaint.evaluate.run import Settings

    say_statement()
    check_folders(arguments)
    cases = read_cases(arguments.data, arguments.labels, arguments.series)
    models = dict(arguments.models)
    healthy_hu = healthy_norms(models.get("grid"), arguments.protocol)
    make_folder(arguments.output)
    plans = [
        Settings(
            detector=name,
            protocol=arguments.protocol,
            backend="torch",
            model=models.get(name),
            device=arguments.device,
            seed=arguments.seed,
            synthetic=arguments.synthetic,
            shapes=shapes_of(arguments),
            min_brain_cm2=arguments.min_brain_cm2,
        )
        for name in dict.fromkeys(arguments.detectors)
    ]
    with progress_bar() as bar, stop_on_interrupt() as stop:
        task = bar.add_task("inpainting", total=None)
        try:
            shares = compare(
                cases,
                arguments.output,
                plans,
                healthy_hu,
                truth=arguments.truth,
                on_line=lambda line: print(line, flush=True),
                on_progress=lambda done, total: bar.update(
                    task, completed=done, total=total or None
                ),
                cancelled=stop.is_set,
            )
        except Cancelled as error:
            print(
                "Cancelled; what was finished is kept. The same command goes on.", file=sys.stderr
            )
            return error.exit_code
    write_comparison(arguments.output, shares, resamples=arguments.bootstrap)
    _draw(arguments.output, shares)
    print(f"Results in {arguments.output} (table.md, compare.json, compare.csv, sheet.png)")
    missing = [f"{share.name}: {share.reason}" for share in shares if share.found is None]
    for line in [*missing, *left_out(shares)]:
        print(f"left out: {line}", file=sys.stderr)
    return 5 if missing or left_out(shares) else 0


def _draw(folder: Path, shares: Sequence[Share]) -> None:
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        print(
            "No sheet was drawn; it needs: pip install 'napari-rsna-inpaint[evaluate]'",
            file=sys.stderr,
        )
        return
    from napari_rsna_inpaint.evaluate.compare import combined
    from napari_rsna_inpaint.evaluate.compare_sheet import draw_comparison

    ran = [share.name for share in shares if share.found is not None]
    draw_comparison(folder, combined(shares), ran)
