"""``evaluate``: how well detection works on labelled scans, beside what needs no network."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_rsna_inpaint.commands.common import (
    add_detector,
    add_model,
    add_protocol,
    extent,
    not_negative,
    positive,
    progress_bar,
    say_statement,
    stop_on_interrupt,
)
from napari_rsna_inpaint.errors import Cancelled, InputRefused

if TYPE_CHECKING:
    from napari_rsna_inpaint.evaluate.cases import Case
    from napari_rsna_inpaint.evaluate.run import Evaluation, Settings

HELP = "measure detection on labelled scans, beside baselines without a network"


def add_arguments(parser: ArgumentParser) -> None:
    """Data, labels, truth and detection."""
    add_scans(parser)
    add_detector(parser)
    add_protocol(parser)
    add_model(parser)


def add_scans(parser: ArgumentParser) -> None:
    """Scans, labels, truth, synthetic bleeds, output and how to count."""
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER", help="the scans")
    parser.add_argument(
        "--labels",
        type=Path,
        required=True,
        metavar="TSV",
        help="one row a slice: slice_id, series, patient_id, any (1, 0 or empty), subtypes",
    )
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR")
    parser.add_argument(
        "--series", nargs="+", default=[], metavar="NAME", help="only these series of the table"
    )
    parser.add_argument(
        "--truth",
        type=Path,
        metavar="FOLDER",
        help="outlined bleeds: SLICE_ID.png, or SERIES.nii.gz on the scan's own grid",
    )
    parser.add_argument(
        "--synthetic",
        type=not_negative,
        default=0,
        metavar="N",
        help="put N synthetic bleeds, one at a time, into every scan without bleed",
    )
    parser.add_argument(
        "--shapes",
        type=Path,
        metavar="FOLDER",
        help="NIfTI masks of real bleeds as outlines of the synthetic ones in the brain",
    )
    parser.add_argument(
        "--bootstrap", type=positive, default=1000, metavar="N", help="resamples of the patients"
    )
    parser.add_argument(
        "--min-brain-cm2",
        type=extent,
        default=10.0,
        metavar="CM2",
        help="slices with less brain do not count (default 10)",
    )


def run(arguments: Namespace) -> int:
    """Write metrics, tables and plots; 5 where anything is missing, 130 when cancelled."""
    from napari_rsna_inpaint.detection.files import make_folder
    from napari_rsna_inpaint.evaluate.baselines import healthy_norms
    from napari_rsna_inpaint.evaluate.cases import read_cases
    from napari_rsna_inpaint.evaluate.report import write_report
    from napari_rsna_inpaint.evaluate.run import Settings, evaluate

    say_statement()
    check_folders(arguments)
    cases = read_cases(arguments.data, arguments.labels, arguments.series)
    # Whatever would refuse every scan is said before the first one.
    settings = Settings(
        detector=arguments.detector,
        protocol=arguments.protocol,
        backend=arguments.backend,
        model=arguments.model,
        device=arguments.device,
        seed=arguments.seed,
        synthetic=arguments.synthetic,
        shapes=shapes_of(arguments),
        min_brain_cm2=arguments.min_brain_cm2,
    )
    detector = settings.make()
    calibration, provenance = detector.calibration, detector.provenance()
    own = arguments.model if arguments.detector == "grid" else None
    healthy_hu = healthy_norms(own, arguments.protocol)
    make_folder(arguments.output)
    with progress_bar() as bar, stop_on_interrupt() as stop:
        task = bar.add_task("inpainting", total=None)

        def show(done: int, total: int, partial: object) -> None:
            bar.update(task, completed=done, total=total or None)

        def say(case: Case, line: str) -> None:
            bar.reset(task, total=None)
            print(f"{case.name}: {line}", flush=True)

        try:
            found = evaluate(
                cases,
                arguments.output,
                settings,
                healthy_hu,
                truth=arguments.truth,
                on_scan=say,
                on_progress=show,
                cancelled=stop.is_set,
            )
        except Cancelled as error:
            print(
                f"Cancelled; {len(error.partial.summaries)} finished scans are kept. The same "
                "command goes on.",
                file=sys.stderr,
            )
            return error.exit_code
    about = {
        "model": {
            "name": provenance.get("model"),
            "sha256": provenance.get("model_sha256"),
            "calibrated_for": None if calibration is None else calibration.protocol,
        },
        "detector": arguments.detector,
        "protocol": arguments.protocol,
        "backend": arguments.backend,
    }
    content = write_report(
        arguments.output, found, settings, resamples=arguments.bootstrap, about=about
    )
    _draw(arguments.output, found, settings)
    _say_result(content, arguments.output)
    for case, reason in found.refused:
        print(f"refused: {case.name}: {reason}", file=sys.stderr)
    for case, number, reason in found.not_inserted:
        print(f"left out: {case.name}, synthetic bleed {number}: {reason}", file=sys.stderr)
    return 5 if found.refused or found.incomplete or found.not_inserted else 0


def check_folders(arguments: Namespace) -> None:
    """Make sure that the folders of `add_scans` are there.

    Raises
    ------
    InputRefused
        If one is not.
    """
    for option in ("data", "truth", "shapes"):
        folder = getattr(arguments, option)
        if folder is not None and not folder.is_dir():
            raise InputRefused(f"There is no folder {folder}; check --{option}.")


def shapes_of(arguments: Namespace) -> tuple[Path, ...]:
    """Files of ``--shapes``."""
    return tuple(sorted(arguments.shapes.glob("*.nii*"))) if arguments.shapes else ()


def _draw(folder: Path, found: Evaluation, settings: Settings) -> None:
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        print(
            "No plots were drawn; they need: pip install 'napari-rsna-inpaint[evaluate]'",
            file=sys.stderr,
        )
        return
    from napari_rsna_inpaint.evaluate.plots import draw_curves
    from napari_rsna_inpaint.evaluate.sheet import draw_sheet

    draw_curves(folder, found.summaries)
    draw_sheet(folder, found.summaries)


def _say_result(content: dict, folder: Path) -> None:
    """Print the first table's headline, ours beside the baselines."""
    print(f"Results in {folder} (table.md, metrics.json)")
    for name, table in content["sets"].items():
        for key in ("slice_auroc", "scan_auroc_top3", "pixel_ceil_dice"):
            values = {m: table["methods"][m][key]["value"] for m in content["methods"]}
            if any(value == value for value in values.values()):
                said = "  ".join(f"{method} {value:.3f}" for method, value in values.items())
                print(f"  {name} {key}: {said}")
