"""``prepare``: folders of scans to a data set for training."""

from __future__ import annotations

import os
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from pathlib import Path

from napari_rsna_inpaint.commands.common import positive, progress_bar, stop_on_interrupt

HELP = "prepare folders of scans for training"


def add_arguments(parser: ArgumentParser) -> None:
    """Data, labels, output, pixels and processes."""
    parser.add_argument(
        "folders",
        type=Path,
        nargs="+",
        metavar="FOLDER",
        help="searched below for DICOM files, grouped into series by their headers, and for NIfTI "
        "files in HU, each a series",
    )
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR")
    parser.add_argument(
        "--labels",
        type=Path,
        nargs="+",
        metavar="TABLE",
        help="default: labels.tsv and stage_2_train.csv in the folders and one level above",
    )
    parser.add_argument(
        "--unlabelled",
        choices=("healthy", "unknown"),
        default="unknown",
        help="what series without any label are (default: unknown, so not trained on)",
    )
    parser.add_argument(
        "--pixel-mm", type=_size, default=1.0, metavar="MM", help="the model's pixels (1)"
    )
    parser.add_argument(
        "--workers",
        type=positive,
        default=os.cpu_count() or 1,
        metavar="N",
        help="processes (default: one for each core)",
    )


def _size(text: str) -> float:
    try:
        size = float(text)
    except ValueError:
        size = 0.0
    if not 0.1 <= size <= 10:
        raise ArgumentTypeError(f"{text!r} is no pixel size between 0.1 and 10 mm")
    return size


def run(arguments: Namespace) -> int:
    """Prepare, going on where an earlier run stopped; 5 if slices or files were unreadable."""
    from napari_rsna_inpaint.errors import InputRefused
    from napari_rsna_inpaint.train.build import Job, build_dataset, summary

    missing = [str(folder) for folder in arguments.folders if not folder.is_dir()]
    if missing:
        raise InputRefused(f"There is no folder {missing[0]}; name a folder of scans.")
    job = Job(
        folders=arguments.folders,
        output=arguments.output,
        tables=arguments.labels,
        unlabelled_healthy=arguments.unlabelled == "healthy",
        pixel_mm=arguments.pixel_mm,
        workers=arguments.workers,
    )
    with progress_bar() as bar, stop_on_interrupt() as stop:
        task = bar.add_task("listing files", total=None)

        def show(what: str, done: int, total: int) -> None:
            bar.update(task, description=what, completed=done, total=total)

        rows = build_dataset(job, show, stop.is_set)
    print(summary(rows))
    print(f"data set in {arguments.output}; report.csv lists every series")
    damaged = {"slice-refused", "no-readable-slice"}
    return 5 if any(damaged & set((row.get("codes") or "").split()) for row in rows) else 0
