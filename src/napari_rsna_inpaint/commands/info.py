"""``info``: what is in an input."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

HELP = "say what is in a file, folder or zip"


def add_arguments(parser: ArgumentParser) -> None:
    """INPUT and --json."""
    parser.add_argument("input", type=Path, metavar="INPUT")
    parser.add_argument("--json", action="store_true", help="machine-readable")


def run(arguments: Namespace) -> int:
    """Print one block a series; 3 where nothing can be used."""
    from napari_rsna_inpaint.io import inspect

    found = inspect(arguments.input)
    if arguments.json:
        print(json.dumps(found, indent=2))
    else:
        _print(found)
    if not found["series"]:
        print(f"No CT series was found in {arguments.input.name}.", file=sys.stderr)
    usable = any(series["outcome"] != "refused" for series in found["series"])
    return 0 if usable else 3


def _print(found: dict) -> None:
    for series in found["series"]:
        shape = "x".join(map(str, series["shape"])) if series["shape"] else "?"
        spacing = series["spacing_mm"]
        size = " x ".join(f"{mm:.2f}" for mm in spacing) + " mm" if spacing else ""
        print(f"{series['uid']}  {series['outcome'].upper()}  {shape}  {size}")
        if series["description"]:
            print(f"  {series['description']}")
        for message in series["messages"]:
            print(f"  {message}")
    for entry in found["skipped"]:
        print(f"skipped {entry['path']}: {entry['reason']}")
