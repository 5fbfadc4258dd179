"""``detectors``: which are installed, and what their parameters are."""

from __future__ import annotations

import dataclasses
import json
import sys
from argparse import ArgumentParser, Namespace
from typing import Any

from napari_rsna_inpaint.detection.names import detectors
from napari_rsna_inpaint.errors import InputRefused, UsageError

HELP = "list the installed detectors, or the parameters of one"


def add_arguments(parser: ArgumentParser) -> None:
    """NAME, --json and --markdown."""
    parser.add_argument("name", nargs="?", metavar="NAME", help="a detector: its parameters")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="machine-readable")
    form.add_argument(
        "--markdown", action="store_true", help="the table of parameters of a documentation page"
    )


def run(arguments: Namespace) -> int:
    """Print; 5 where a detector cannot be loaded."""
    if arguments.name is None:
        if arguments.markdown:
            raise UsageError("--markdown needs the NAME of a detector.")
        return _list(arguments.json)
    return _one(arguments)


def _list(as_json: bool) -> int:
    from napari_rsna_inpaint.detection.describe import describe

    found, broken = [], []
    for name in detectors():
        try:
            found.append(describe(name))
        except InputRefused as error:
            broken.append({"name": name, "reason": str(error)})
    if as_json:
        print(json.dumps({"detectors": found, "broken": broken}, indent=2))
    else:
        for about in found:
            _print(about)
        for entry in broken:
            print(entry["reason"], file=sys.stderr)
    return 5 if broken else 0


def _one(arguments: Namespace) -> int:
    from napari_rsna_inpaint.detection.describe import describe, markdown, parameters
    from napari_rsna_inpaint.detection.registry import load_detector

    if arguments.markdown:
        print(markdown(arguments.name), end="")
        return 0
    about = describe(arguments.name)
    found = parameters(load_detector(arguments.name))
    if arguments.json:
        every = [dataclasses.asdict(parameter) for parameter in found]
        print(json.dumps({**about, "parameters": every}, indent=2))
        return 0
    _print(about)
    for parameter in found:
        sort = ", ".join(filter(None, (parameter.kind, parameter.allowed)))
        print(f"\n  --set {parameter.name}=...  ({sort})")
        print(f"    {parameter.description}")
        print("    " + ", ".join(f"{p}: {value}" for p, value in parameter.values.items()))
    return 0


def _print(about: dict[str, Any]) -> None:
    print(f"{about['name']}  {about['title']}")
    print(f"  {about['summary']}")
    print(f"  {about['source']}")
    print(f"  protocols: {', '.join(about['presets'])}")
    if about["method"] is None:
        print("  no model of its own")
        return
    model = about["model"] or "none installed"
    calibrated = ", ".join(about["calibrated"]) or "nothing yet"
    print(f"  model: {model} (method {about['method']}), calibrated for: {calibrated}")
