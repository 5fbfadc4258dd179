"""The command ``rsna-inpaint``: thin, and quick to start (heavy imports only on use)."""

from __future__ import annotations

import argparse
import logging
import sys
import traceback
from collections.abc import Sequence

from napari_rsna_inpaint import STATEMENT, __version__
from napari_rsna_inpaint.commands import (
    bench,
    brats,
    calibrate,
    compare,
    demo,
    detect,
    detectors,
    evaluate,
    export_onnx,
    info,
    mask,
    models,
    prepare,
    reinpaint,
    sweep,
    train,
    verdicts,
    view,
)
from napari_rsna_inpaint.errors import ChoiceNeeded, RsnaInpaintError

COMMANDS = {
    "info": info,
    "mask": mask,
    "detect": detect,
    "detectors": detectors,
    "reinpaint": reinpaint,
    "sweep": sweep,
    "view": view,
    "demo": demo,
    "prepare": prepare,
    "train": train,
    "calibrate": calibrate,
    "evaluate": evaluate,
    "compare": compare,
    "export-onnx": export_onnx,
    "models": models,
    "bench": bench,
    "brats": brats,
    "verdicts": verdicts,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code.

    0 done; 1 failed; 2 usage; 3 input refused; 4 the user must choose; 5 finished with some slices
    refused; 130 cancelled.
    """
    arguments = _parser().parse_args(argv)
    logging.basicConfig(
        level=logging.INFO if arguments.debug else logging.WARNING,
        format="%(levelname)s: %(message)s",
    )
    try:
        return arguments.run(arguments)
    except RsnaInpaintError as error:
        _show_traceback(arguments)
        print(error, file=sys.stderr)
        if isinstance(error, ChoiceNeeded):
            for choice in error.choices:
                print(f"  {choice}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("Cancelled.", file=sys.stderr)
        return 130
    except Exception as error:
        _show_traceback(arguments)
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        print(f"This failed unexpectedly: {reason} (--debug shows where).", file=sys.stderr)
        return 1


def _show_traceback(arguments: argparse.Namespace) -> None:
    if arguments.debug:
        traceback.print_exc()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rsna-inpaint",
        description="See where a head CT departs from a healthy brain.",
        epilog=STATEMENT,
    )
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, module in COMMANDS.items():
        sub = commands.add_parser(name, help=module.HELP, description=module.HELP, epilog=STATEMENT)
        module.add_arguments(sub)
        sub.add_argument(
            "--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS
        )
        sub.set_defaults(run=module.run)
    return parser
