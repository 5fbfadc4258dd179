"""What several commands share: arguments, progress, a clean stop on Ctrl-C."""

from __future__ import annotations

import json
import signal
import sys
import threading
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_rsna_inpaint import STATEMENT
from napari_rsna_inpaint.detection.names import detectors, protocols
from napari_rsna_inpaint.diffusion import BACKENDS

if TYPE_CHECKING:
    from rich.progress import Progress

    from napari_rsna_inpaint.volume import CTVolume


def add_input(parser: ArgumentParser) -> None:
    """INPUT and --series."""
    parser.add_argument(
        "input",
        type=Path,
        metavar="INPUT",
        help="DICOM file, folder (searched below), zip of DICOM files, or .nii/.nii.gz in HU",
    )
    parser.add_argument("--series", metavar="UID", help="which series, where there are several")


def add_model(parser: ArgumentParser) -> None:
    """--model, --device, --backend, --seed."""
    parser.add_argument("--model", metavar="NAME|PATH", help="installed model or model folder")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--backend", choices=BACKENDS, default="torch")
    parser.add_argument("--seed", type=not_negative, default=0, metavar="N")


def add_detector(parser: ArgumentParser) -> None:
    """--detector."""
    parser.add_argument(
        "--detector",
        choices=detectors(),
        default="grid",
        metavar="NAME",
        help=f"{', '.join(detectors())} (default grid); 'rsna-inpaint detectors' tells of them",
    )


def add_parameters(parser: ArgumentParser) -> None:
    """--set."""
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        type=_assignment,
        metavar="NAME=VALUE",
        dest="parameters",
        help="a parameter of the detector in place of the protocol's, repeatable; "
        "'rsna-inpaint detectors NAME' lists them",
    )


def _assignment(text: str) -> tuple[str, Any]:
    """``name=value``; the value as JSON where it is any, else as text."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise ArgumentTypeError(f"{text!r} is not of the form NAME=VALUE")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def add_protocol(parser: ArgumentParser) -> None:
    """--protocol."""
    parser.add_argument(
        "--protocol",
        choices=tuple(protocols()),
        default="fast",
        help="; ".join(f"{name}: {what}" for name, what in protocols().items()),
    )


def positive(text: str) -> int:
    """Type of an argument that counts something."""
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def not_negative(text: str) -> int:
    """Type of an argument such as a seed."""
    if not text.isdecimal():
        raise ArgumentTypeError(f"{text!r} is not a whole number, 0 or above")
    return int(text)


def rate(text: str) -> float:
    """Type of an argument that is a part of a whole."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < 1:
        raise ArgumentTypeError(f"{text!r} is not a number between 0 and 1")
    return value


def extent(text: str) -> float:
    """Type of an argument such as an area: 0 or above."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise ArgumentTypeError(f"{text!r} is not a number of 0 or more")
    return value


def read_noted(arguments: Namespace) -> CTVolume:
    """Read INPUT and say what was noticed."""
    from napari_rsna_inpaint.io import read

    volume = read(arguments.input, arguments.series)
    for note in volume.notes:
        print(f"note: {note.message}", file=sys.stderr)
    return volume


def exit_code(volume: CTVolume) -> int:
    """5 where slices of the series could not be read and are missing from the result."""
    return 5 if any(note.code == "slice-refused" for note in volume.notes) else 0


def say_statement() -> None:
    """The line that every result comes with."""
    print(STATEMENT, file=sys.stderr)


@contextmanager
def stop_on_interrupt() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C (or SIGTERM) sets, so that work can end in order.

    A second Ctrl-C interrupts at once.
    """
    stop = threading.Event()

    def ask(number: int, frame: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    watched = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, ask) for number in watched]
    try:
        yield stop
    finally:
        for number, handler in zip(watched, before, strict=True):
            signal.signal(number, handler)


def progress_bar() -> Progress:
    """A progress bar on stderr with the time left; silent where stderr is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    )
