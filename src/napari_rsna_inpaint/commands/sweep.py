"""``sweep``: thresholds swept over stored results."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_rsna_inpaint.commands.common import extent, say_statement, stop_on_interrupt
from napari_rsna_inpaint.errors import Cancelled, UsageError

if TYPE_CHECKING:
    from napari_rsna_inpaint.sweep.run import Sweep
    from napari_rsna_inpaint.sweep.settings import SweepSettings

HELP = "sweep thresholds over stored results: table, operating points and plots"


def add_arguments(parser: ArgumentParser) -> None:
    """Results, truth, and what to sweep."""
    parser.add_argument(
        "results", type=Path, nargs="+", metavar="DIR", help="folders that detect wrote"
    )
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR")
    parser.add_argument(
        "--labels",
        type=Path,
        metavar="TSV",
        help="labels of the slices as for evaluate; scans without bleed count as healthy",
    )
    parser.add_argument(
        "--truth",
        type=Path,
        nargs="+",
        default=[],
        metavar="MASK.nii.gz",
        help="outlined bleeds on the grid of each result, in the same order",
    )
    parser.add_argument(
        "--metric",
        metavar="NAME",
        help="heatmap (default), signed_residual, absolute_residual, minimum_distance, or of "
        "squares: mean_difference, earth_mover, std_difference, mse, histogram_difference",
    )
    parser.add_argument("--size", type=_positive, metavar="MM", help="side of the squares")
    parser.add_argument(
        "--min-area",
        type=extent,
        metavar="MM2",
        help="regions that are smaller in every slice do not count (default 25)",
    )
    parser.add_argument(
        "--threshold", type=float, metavar="VALUE", help="one more threshold, drawn as a line"
    )
    parser.add_argument(
        "--settings",
        type=Path,
        metavar="FILE",
        help="repeat the sweep of a sweep.json; other options change it",
    )


def run(arguments: Namespace) -> int:
    """Write sweep.csv, sweep.json and sweep.png; 130 when cancelled."""
    from napari_rsna_inpaint.detection.files import make_folder
    from napari_rsna_inpaint.sweep.files import write_sweep
    from napari_rsna_inpaint.sweep.folders import load_subjects
    from napari_rsna_inpaint.sweep.run import sweep

    say_statement()
    if arguments.truth and len(arguments.truth) != len(arguments.results):
        raise UsageError(
            f"{len(arguments.truth)} masks were given for {len(arguments.results)} results; name "
            "one for each, in the same order."
        )
    settings = _settings(arguments)
    make_folder(arguments.output)
    with stop_on_interrupt() as stop:
        subjects = load_subjects(arguments.results, arguments.labels, arguments.truth)
        try:
            found = sweep(subjects, settings, cancelled=stop.is_set)
        except Cancelled as error:
            print("Cancelled; nothing was written.", file=sys.stderr)
            return error.exit_code
    write_sweep(arguments.output, found)
    _draw(arguments.output, found)
    _say(found, arguments.output)
    return 0


def _settings(arguments: Namespace) -> SweepSettings:
    """Those of --settings, changed by what else is given."""
    from pydantic import ValidationError

    from napari_rsna_inpaint.sweep.metrics import METRICS
    from napari_rsna_inpaint.sweep.settings import SweepSettings, read_settings

    stored = {} if arguments.settings is None else read_settings(arguments.settings).model_dump()
    given = {
        "metric": arguments.metric,
        "size_mm": arguments.size,
        "min_area_mm2": arguments.min_area,
        "threshold": arguments.threshold,
    }
    chosen = stored | {name: value for name, value in given.items() if value is not None}
    try:
        settings = SweepSettings(**chosen)
    except ValidationError:
        raise UsageError(
            f"There is no metric {chosen['metric']!r}; choose {', '.join(METRICS)}."
        ) from None
    if METRICS[settings.metric].kind == "map" and arguments.size is not None:
        raise UsageError(f"The metric {settings.metric} has no squares; leave out --size.")
    if METRICS[settings.metric].kind == "square" and settings.size_mm is None:
        raise UsageError(f"The metric {settings.metric} is one of squares; name their --size.")
    return settings


def _draw(folder: Path, found: Sweep) -> None:
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        print(
            "No plot was drawn; it needs: pip install 'napari-rsna-inpaint[evaluate]'",
            file=sys.stderr,
        )
        return
    from napari_rsna_inpaint.sweep.plots import draw_sweep

    draw_sweep(folder / "sweep.png", found)


def _say(found: Sweep, folder: Path) -> None:
    n = len(found.curves)
    print(f"{n} scan{'s' * (n != 1)}, {len(found.rows)} thresholds; sweep.csv in {folder}")
    for point in found.points:
        value = "none" if point.threshold is None else f"{point.threshold:.4g}"
        print(f"  {point.name}: {value} ({point.basis})")


def _positive(text: str) -> float:
    value = extent(text)
    if value == 0:
        raise ArgumentTypeError(f"{text!r} is not a number above 0")
    return value
