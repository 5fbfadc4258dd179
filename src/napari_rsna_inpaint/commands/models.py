"""``models``: which are installed, and whether their files are whole."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

HELP = "list the installed models, or verify their files"


def add_arguments(parser: ArgumentParser) -> None:
    """``list`` and ``verify``."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="list the installed models")
    verifying = actions.add_parser(
        "verify", help="compare the files of a model with its SHA256SUMS"
    )
    verifying.add_argument(
        "model", nargs="?", metavar="NAME|PATH", help="default: all installed models"
    )
    verifying.add_argument(
        "--write", action="store_true", help="write SHA256SUMS of the files as they are now"
    )
    for action in (listing, verifying):
        action.add_argument("--json", action="store_true", help="machine-readable")


def run(arguments: Namespace) -> int:
    """1 where a file of a verified model is changed or missing."""
    return _list(arguments) if arguments.action == "list" else _verify(arguments)


def _list(arguments: Namespace) -> int:
    from napari_rsna_inpaint.diffusion.model_folder import find_model, installed_models

    models = [_describe(find_model(name, None)) for name in installed_models()]
    if arguments.json:
        print(json.dumps({"models": models}, indent=2))
        return 0
    for model in models:
        parameters = model["parameters"]
        size = f"{parameters / 1e6:.2f} million parameters" if parameters else "weights damaged"
        print(f"{model['name']}  {size}, {model['bytes'] / 1e6:.1f} MB")
        print(f"  trained by: {model['method']}")
        print(f"  backends: {', '.join(model['backends'])}")
        print(f"  calibrated for: {', '.join(model['calibrated']) or 'nothing yet'}")
        print(f"  {model['licence']}")
    return 0


def _describe(folder: Path) -> dict[str, Any]:
    from napari_rsna_inpaint.diffusion.card import licence
    from napari_rsna_inpaint.diffusion.model_folder import WEIGHTS, method_of
    from napari_rsna_inpaint.diffusion.onnx_denoiser import FILES

    return {
        "name": folder.name,
        "path": str(folder),
        "parameters": _parameters(folder / WEIGHTS),
        "bytes": sum(path.stat().st_size for path in folder.iterdir() if path.is_file()),
        "backends": ["torch", *(name for name, file in FILES.items() if (folder / file).is_file())],
        "method": method_of(folder),
        "calibrated": _calibrated(folder),
        "licence": licence(folder),
    }


def _parameters(weights: Path) -> int | None:
    """Number of parameters, or None where the file is damaged."""
    from math import prod

    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(weights, framework="numpy") as tensors:
            return sum(prod(tensors.get_slice(name).get_shape()) for name in tensors.keys())  # noqa: SIM118
    except SafetensorError:
        return None


def _calibrated(folder: Path) -> list[str]:
    """Detectors and protocols that the model is calibrated for, as ``detector protocol``."""
    from napari_rsna_inpaint.detection.calibration import calibrated

    return [f"{detector} {protocol}" for detector, protocol in calibrated(folder)]


def _verify(arguments: Namespace) -> int:
    from napari_rsna_inpaint.diffusion.checksums import check_sums, write_sums
    from napari_rsna_inpaint.diffusion.model_folder import find_model, installed_models

    reports: list[dict[str, Any]] = []
    for name in [arguments.model] if arguments.model else installed_models():
        folder = find_model(name, None)
        if arguments.write:
            write_sums(folder)
        files = check_sums(folder)
        bad = [file for file, state in files.items() if state in {"changed", "missing"}]
        reports.append({"name": folder.name, "ok": not bad, "files": files})
        for file in bad:
            print(
                f"{folder.name}: {file} is {files[file]}; install the model anew, or, if you "
                "changed it yourself, verify it with --write.",
                file=sys.stderr,
            )
    if arguments.json:
        print(json.dumps({"models": reports}, indent=2))
    else:
        for report in reports:
            for file, state in report["files"].items():
                print(f"{report['name']}/{file}: {state}")
    return 0 if all(report["ok"] for report in reports) else 1
